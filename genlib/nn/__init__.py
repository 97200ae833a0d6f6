"""Networks and output heads that models share."""
