"""One detector, from request to publication: commit rules, status, links, and the keeper that runs the commits."""
