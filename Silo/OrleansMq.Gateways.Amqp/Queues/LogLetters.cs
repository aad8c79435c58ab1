using OrleansMq.Diagnostics;
using OrleansMq.VirtualHosts;

namespace OrleansMq.Gateways.Amqp.Queues;

/// <summary>
/// The dead letters of a queue on the log. A message stays in the queue until its letter is stored. Where a letter is not, those of the
/// whole queue wait, and one batch at a time tries again. Those that have been tried yield to the others, in whatever order they come: a
/// letter that can never be stored does not keep those behind it from their turn. Thread safe.
/// <code>
/// flowing -- a letter is not stored         --> waiting   the shortest pause
/// waiting -- the pause is over, and a batch --> trying    the others wait still
/// trying  -- all of the batch are stored    --> flowing
/// trying  -- some are stored                --> waiting   the shortest pause
/// trying  -- none is stored                 --> waiting   twice the pause, up to the longest
/// </code>
/// After a pause, messages that have been tried wait for another <see cref="YieldTime"/>. If no other message comes in that time, all have
/// had their turn, and the next batch begins a new round.
/// </summary>
/// <param name="queue">The queue.</param>
internal sealed class LogLetters(LogQueue queue)
{
    /// <summary>The shortest time between two attempts.</summary>
    public static readonly TimeSpan MinPause = TimeSpan.FromSeconds(1);

    private static readonly TimeSpan MaxPause = TimeSpan.FromSeconds(30);
    // A message that was put off, and was not tried, is back within it: it waited for the rest of the pause, or for the shortest one.
    private static readonly TimeSpan YieldTime = MinPause;
    // With more than these a new round begins early.
    private const int MostTried = 10_000;

    private readonly Lock _lock = new();
    private readonly PartialRoutes _partial = new();
    // The positions of the messages whose letters were not stored in this round.
    private readonly HashSet<long> _tried = [];
    // Zero: they flow.
    private TimeSpan _pause;
    private long _pausedAt;
    // From the pause's begin on, how long those that were tried yield. It outlasts the pause, also where letters flow again.
    private TimeSpan _yield;
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
                return _isTrying ? MinPause : LeftOf(_pause);
        }
    }

    /// <summary>How long the messages of <see cref="Yielding"/> yield to others; zero where they do not.</summary>
    public TimeSpan Yield
    {
        get
        {
            lock (_lock)
                return LeftOf(_yield);
        }
    }

    /// <summary>Returns the positions of messages that have been tried, and yield to others now. The set is the caller's.</summary>
    public HashSet<long> Yielding()
    {
        lock (_lock)
            return LeftOf(_yield) > TimeSpan.Zero ? [.. _tried] : [];
    }

    /// <summary>Returns how long a message waits whose letter was not stored, or not tried.</summary>
    /// <param name="position">Its place in the queue.</param>
    public TimeSpan WaitOf(long position)
    {
        lock (_lock)
        {
            var wait = _tried.Contains(position) ? LeftOf(_yield) : LeftOf(_pause);
            return wait > MinPause ? wait : MinPause;
        }
    }

    /// <summary>Publishes the letters of messages together.</summary>
    /// <returns>Whether each may leave the queue; null where letters wait, and none was tried.</returns>
    public async Task<bool[]?> TryPublishAsync(IReadOnlyList<(HeldMessage Message, DeathReason Reason)> dead)
    {
        var turn = Begin(dead);
        if (turn == Turn.None)
            return null;
        var areStored = await Task.WhenAll(dead.Select(one => PublishAsync(one.Message.Message, one.Message.Hold, queue.Settings,
            one.Reason)).ToArray()).ConfigureAwait(false);
        End(turn, dead, areStored);
        return areStored;
    }

    /// <summary>Publishes the letter of a message, also where others wait.</summary>
    /// <param name="message">The message.</param>
    /// <param name="hold">What holds it in the queue.</param>
    /// <param name="settings">The queue's settings.</param>
    /// <param name="reason">Why it ends.</param>
    /// <returns>Whether it may leave the queue.</returns>
    public async Task<bool> PublishAsync(AmqpMessage message, MessageHold hold, QueueSettings settings, DeathReason reason)
    {
        var stored = _partial.Take(hold);
        try
        {
            if (await queue.DeadLetters.PublishAsync(message, queue.State, settings, reason, stored).ConfigureAwait(false))
                return true;
        }
        catch (Exception fault)
        {
            // A bug, or a message that another producer has made up. The queue's others go on.
            queue.Log.Write(EngineLogLevel.Error, $"The message at {hold.Position} of queue '{queue.State.Name}' cannot become a dead "
                + "letter, and stays.", fault);
        }
        _partial.Keep(hold, stored);
        return false;
    }

    // Under the lock.
    private TimeSpan LeftOf(TimeSpan time) => time > TimeSpan.Zero && time - queue.Time.GetElapsedTime(_pausedAt) is var left
        && left > TimeSpan.Zero ? left : TimeSpan.Zero;

    private Turn Begin(IReadOnlyList<(HeldMessage Message, DeathReason Reason)> dead)
    {
        lock (_lock)
        {
            if (_pause == TimeSpan.Zero)
                return Turn.Flowing;
            if (_isTrying || LeftOf(_pause) > TimeSpan.Zero)
                return Turn.None;
            if (dead.All(one => _tried.Contains(one.Message.Hold.Position)))
            {
                if (LeftOf(_yield) > TimeSpan.Zero)
                    return Turn.None;
                _tried.Clear();
            }
            _isTrying = true;
            return Turn.Trying;
        }
    }

    private void End(Turn turn, IReadOnlyList<(HeldMessage Message, DeathReason Reason)> dead, bool[] areStored)
    {
        var (stored, all) = (areStored.Count(static isStored => isStored), areStored.Length);
        TimeSpan pause;
        lock (_lock)
        {
            _isTrying &= turn != Turn.Trying;
            for (var index = 0; index < all; index++)
            {
                if (areStored[index])
                    _tried.Remove(dead[index].Message.Hold.Position);
                else
                    _tried.Add(dead[index].Message.Hold.Position);
            }
            if (_tried.Count > MostTried)
                _tried.Clear();
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
            _yield = pause + YieldTime;
        }
        queue.Log.Write(EngineLogLevel.Warning, $"Dead letters of queue '{queue.State.Name}' wait for {pause.TotalSeconds:0} s: "
            + $"{all - stored} of their messages stay, since a queue that they are routed to is full or cannot be reached, or they are "
            + "routed to none.");
    }
}
