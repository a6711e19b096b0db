"""What the tests share: real servers, a client that sends raw octets, fakes of what cannot be had otherwise."""
