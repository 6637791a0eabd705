"""Networks and what they minimise; `registry` lists them."""
