NOT_RUN={"x":("pairnet study my.toml --runs mine",)}
