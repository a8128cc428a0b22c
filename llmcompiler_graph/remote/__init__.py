"""Tools whose functions run in other processes, or on other machines."""
