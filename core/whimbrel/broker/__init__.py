"""The application: takes events and requests, asks the engines, carries out what they decide."""
