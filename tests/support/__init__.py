"""What the tests share: real servers, the one client, the table of malformed requests, clocks and fakes."""
