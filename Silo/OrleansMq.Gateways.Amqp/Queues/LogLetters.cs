using OrleansMq.Diagnostics;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// The dead letters of a queue on the log. A message stays in the queue until its letter is stored. Where a letter is not, those of the
/// whole queue wait, and one batch at a time tries again. Thread safe.
/// <code>
/// flowing -- a letter is not stored         --> waiting   the shortest pause
/// waiting -- the pause is over, and a batch --> trying    the others wait still
/// trying  -- all of the batch are stored    --> flowing
/// trying  -- some are stored                --> waiting   the shortest pause
/// trying  -- none is stored                 --> waiting   twice the pause, up to the longest
/// </code>
/// </summary>
/// <param name="queue">The queue.</param>
internal sealed class LogLetters(LogQueue queue)
{
    /// <summary>The shortest time between two attempts.</summary>
    public static readonly TimeSpan MinPause = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan MaxPause = TimeSpan.FromSeconds(30);

    private readonly Lock _lock = new();
    private readonly PartialRoutes _partial = new();
    // Zero: they flow.
    private TimeSpan _pause;
    private long _pausedAt;
    private bool _isTrying;

    private enum Turn
    {
        None = 0,
        Flowing,
        Trying,
    }

    /// <summary>Whether the last letters were not stored.</summary>
    public bool AreStuck
    {
        get
        {
            lock (_lock)
                return _pause > TimeSpan.Zero;
        }
    }

    /// <summary>How long letters wait; zero where a batch may be tried now.</summary>
    public TimeSpan Wait
    {
        get
        {
            lock (_lock)
                return _isTrying ? MinPause : Left;
        }
    }

    /// <summary>Publishes the letters of messages together.</summary>
    /// <returns>Whether each may leave the queue; null where letters wait, and none was tried.</returns>
    public async Task<bool[]?> TryPublishAsync(IReadOnlyList<(HeldMessage Message, DeathReason Reason)> dead)
    {
        var turn = Begin();
        if (turn == Turn.None)
            return null;
        var areStored = await Task.WhenAll(dead.Select(one => PublishAsync(one.Message.Message, one.Message.Hold.Position, queue.Settings,
            one.Reason)).ToArray()).ConfigureAwait(false);
        End(turn, areStored.Count(static isStored => isStored), areStored.Length);
        return areStored;
    }

    /// <summary>Publishes the letter of a message, also where others wait.</summary>
    /// <param name="message">The message.</param>
    /// <param name="position">Its place in the queue.</param>
    /// <param name="settings">The queue's settings.</param>
    /// <param name="reason">Why it ends.</param>
    /// <returns>Whether it may leave the queue.</returns>
    public async Task<bool> PublishAsync(AmqpMessage message, long position, QueueSettings settings, DeathReason reason)
    {
        var stored = _partial.Take(position);
        try
        {
            if (await queue.DeadLetters.PublishAsync(message, queue.State, settings, reason, stored).ConfigureAwait(false))
                return true;
        }
        catch (Exception fault)
        {
            // A bug, or a message that another producer has made up. The queue's others go on.
            queue.Log.Write(EngineLogLevel.Error, $"The message at {position} of queue '{queue.State.Name}' cannot become a dead letter, "
                + "and stays.", fault);
        }
        _partial.Keep(position, stored);
        return false;
    }

    // Under the lock.
    private TimeSpan Left => _pause - queue.Time.GetElapsedTime(_pausedAt) is var left && _pause > TimeSpan.Zero && left > TimeSpan.Zero
        ? left : TimeSpan.Zero;

    private Turn Begin()
    {
        lock (_lock)
        {
            if (_pause == TimeSpan.Zero)
                return Turn.Flowing;
            if (_isTrying || Left > TimeSpan.Zero)
                return Turn.None;
            _isTrying = true;
            return Turn.Trying;
        }
    }

    private void End(Turn turn, int stored, int all)
    {
        TimeSpan pause;
        lock (_lock)
        {
            _isTrying &= turn != Turn.Trying;
            if (stored == all)
            {
                _pause = turn == Turn.Trying ? TimeSpan.Zero : _pause;
                return;
            }
            // One that began when letters flowed says nothing new.
            if (turn == Turn.Flowing && _pause > TimeSpan.Zero)
                return;
            _pause = pause = stored > 0 || _pause == TimeSpan.Zero ? MinPause : _pause * 2 < MaxPause ? _pause * 2 : MaxPause;
            _pausedAt = queue.Time.GetTimestamp();
        }
        queue.Log.Write(EngineLogLevel.Warning, $"Dead letters of queue '{queue.State.Name}' wait for {pause.TotalSeconds:0} s: "
            + $"{all - stored} of their messages stay, since a queue that they are routed to is full or cannot be reached, or they are "
            + "routed to none.");
    }
}
