"""WebShop: products and goals, search, and what a purchase is worth (the official reward)."""
