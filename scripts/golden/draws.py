"""Numbers drawn as Go's math/rand/v2 draws them, so that a run here can begin with the weights that the program makes itself."""

MASK = 2**64 - 1


class PCG:
    """PCG-DXSM (O'Neill), 128 bits of state: rand.NewPCG(seed1, seed2)."""

    def __init__(self, seed1, seed2):
        self.state = (seed1 << 64) | seed2

    def uint64(self):
        multiplier, increment = (2549297995355413924 << 64) | 4865540595714422341, (6364136223846793005 << 64) | 1442695040888963407
        self.state = (self.state * multiplier + increment) % 2**128
        high, low = self.state >> 64, self.state & MASK
        high = (high ^ (high >> 32)) * 0xDA942042E4DD58B5 & MASK
        return (high ^ (high >> 48)) * (low | 1) & MASK

    def uniform(self):
        """In [0, 1): rand.Rand.Float64."""
        return (self.uint64() & (2**53 - 1)) / 2**53
