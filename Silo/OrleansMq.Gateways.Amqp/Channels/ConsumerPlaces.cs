using OrleansMq.Gateways.Amqp.Queues;

namespace OrleansMq.Gateways.Amqp.Channels;

/// <summary>The places for the consumers of one connection, which its channels share. Each is one of its user's, too. Thread
/// safe.</summary>
/// <param name="most">How many there are.</param>
/// <param name="users">The consumers of each user.</param>
/// <param name="user">The connection's user.</param>
/// <param name="mostOfUser">How many its user has, on all connections to this broker.</param>
internal sealed class ConsumerPlaces(int most, NameCounts users, string user, int mostOfUser)
{
    private readonly Lock _lock = new();
    private int _taken;

    /// <summary>Takes one.</summary>
    /// <returns>Why none is left; null: one was taken.</returns>
    public string? TryTake()
    {
        lock (_lock)
        {
            if (_taken >= most)
                return $"reached maximum ({most}) of consumers per connection";
            if (!users.TryAdd(user, mostOfUser))
                return $"reached maximum ({mostOfUser}) of consumers per user";
            _taken++;
            return null;
        }
    }

    /// <summary>Gives some back.</summary>
    public void Give(int places)
    {
        lock (_lock)
            _taken -= places;
        users.Remove(user, places);
    }
}
