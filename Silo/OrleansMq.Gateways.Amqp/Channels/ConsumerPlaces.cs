namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>The places for the consumers of one connection, which its channels share. Thread safe.</summary>
/// <param name="most">How many there are.</param>
internal sealed class ConsumerPlaces(int most)
{
    private readonly Lock _lock = new();
    private int _taken;

    /// <summary>How many there are.</summary>
    public int Most => most;

    /// <summary>Takes one. Returns whether one was left.</summary>
    public bool TryTake()
    {
        lock (_lock)
        {
            if (_taken >= most)
                return false;
            _taken++;
            return true;
        }
    }

    /// <summary>Gives some back.</summary>
    public void Give(int places)
    {
        lock (_lock)
            _taken -= places;
    }
}
