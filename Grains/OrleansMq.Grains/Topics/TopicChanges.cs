using OrleansMq.Diagnostics;

namespace OrleansMq.Grains.Topics;

/// <summary>
/// The creations and deletions of topics that are under way: one at a time for a name, and a bounded number in all. Thread safe.
/// <code>
/// open --EndAsync--> ending: what is under way goes on, nothing begins --last one ended--> ended
/// </code>
/// </summary>
internal sealed class TopicChanges
{
    // Enough to overlap the latency of database, disks and brokers. Each has its partitions created at once already.
    private const int AtATime = 16;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, Turn> _turns = new(StringComparer.Ordinal);
    private readonly SemaphoreSlim _room = new(AtATime, AtATime);
    private Task? _end;

    /// <summary>Waits until nothing else changes the topic, and there is room.</summary>
    /// <returns>Ends the change.</returns>
    public async Task<IDisposable> BeginAsync(string topic)
    {
        var turn = Await(topic);
        await turn.Gate.WaitAsync();
        await _room.WaitAsync();
        return new Change(this, topic, turn);
    }

    /// <summary>Begins a change if nothing else changes the topic, or waits to; null otherwise.</summary>
    public async Task<IDisposable?> TryBeginAsync(string topic)
    {
        lock (_lock)
        {
            if (_turns.ContainsKey(topic))
                return null;
        }
        return await BeginAsync(topic);
    }

    /// <summary>Returns when all changes have ended. No further one begins. All callers wait for the same end: two that took the room bit
    /// by bit would each keep the other from the rest.</summary>
    public Task EndAsync()
    {
        lock (_lock)
            return _end ??= TakeAllRoomAsync();
    }

    /// <summary>Lets those that waited for the end go on, which refuses them.</summary>
    public void Release() => _room.Release(AtATime);

    private async Task TakeAllRoomAsync()
    {
        for (var i = 0; i < AtATime; i++)
            await _room.WaitAsync();
    }

    private Turn Await(string topic)
    {
        lock (_lock)
        {
            if (!_turns.TryGetValue(topic, out var turn))
                _turns[topic] = turn = new Turn();
            turn.Waiting++;
            return turn;
        }
    }

    private void End(string topic, Turn turn)
    {
        _room.Release();
        lock (_lock)
        {
            turn.Waiting--;
            Invariant.Check(turn.Waiting >= 0, "A change of a topic ends once");
            if (turn.Waiting == 0)
                _turns.Remove(topic);
        }
        turn.Gate.Release();
    }

    private sealed class Turn
    {
        public SemaphoreSlim Gate { get; } = new(1, 1);
        // Those that have the turn or wait for it.
        public int Waiting { get; set; }
    }

    private sealed class Change(TopicChanges changes, string topic, Turn turn) : IDisposable
    {
        public void Dispose() => changes.End(topic, turn);
    }
}
