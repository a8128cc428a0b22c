"""WebShop as a text environment with the official reward: products and goals, search, pages, purchases."""
