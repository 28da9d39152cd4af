"""Log records over a PUB socket, and a program that shows them."""
