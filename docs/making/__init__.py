"""How the site is made: what mkdocs calls while it builds."""
