"""What a new policy set begins with: `policyd init`, and OpenAPI documents beside policies."""
