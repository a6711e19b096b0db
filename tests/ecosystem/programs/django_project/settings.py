"""The settings of the project; DATA_FOLDER is where it writes."""

import os

SECRET_KEY = "for tests only"
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "django_project.views"
WSGI_APPLICATION = "django_project.wsgi.application"
MIDDLEWARE = ["django.contrib.sessions.middleware.SessionMiddleware", "django.middleware.common.CommonMiddleware"]
INSTALLED_APPS: list[str] = []
SESSION_ENGINE = "django.contrib.sessions.backends.file"
SESSION_FILE_PATH = os.environ["DATA_FOLDER"]
FILE_UPLOAD_TEMP_DIR = os.environ["DATA_FOLDER"]
USE_TZ = True
