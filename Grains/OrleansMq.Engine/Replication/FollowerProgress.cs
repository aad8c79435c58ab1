namespace OrleansMq.Replication;

/// <summary>A leader's view of one follower, in the leader's epoch.</summary>
internal sealed class FollowerProgress(int broker, int session, long now)
{
    /// <summary>A time before every lease.</summary>
    public const long Never = long.MinValue / 2;

    // A follower that was silent for longer, in intervals of Watch, is down: it gets a heartbeat in each.
    private const int SilentIntervals = 2;

    private readonly Queue<long> _unanswered = [];
    private long _rewoundAt;
    private long _startStatedAt;
    // An unanswered push, with the leader's log end when it was sent: a follower that reaches that end had caught up at that time.
    private (long SentAt, long LeaderEnd)? _mark;
    // The check of its progress with which the current interval began: when, its log end, and the leader's. Then the growth of the leader's
    // log over the interval before, and whether the follower was too slow.
    private (long At, long Stated, long LeaderEnd)? _watched;
    private long _grown = -1;
    private bool _isTooSlow;

    /// <summary>The follower.</summary>
    public int Broker { get; } = broker;
    /// <summary>The session, raised when another member answers than before, or when it must align again: answers in the former one no
    /// longer count.</summary>
    public int Session { get; private set; } = session;
    /// <summary>The member that answers in this session; null before the first answer.</summary>
    public ReplicaIdentity? Identity { get; private set; }
    /// <summary>Whether its last answer was given while aligned.</summary>
    public bool IsAligned { get; private set; }
    /// <summary>The highest counted end that it acknowledged in this session.</summary>
    public long CountedEnd { get; private set; }
    /// <summary>The last log end that it stated while aligned: unanswered batches are resent from here.</summary>
    public long StatedEnd { get; private set; }
    /// <summary>The log start that it stated last in this session: the lowest one in answers to the latest push that it answered. It goes
    /// down when the follower begins again, and answers to one push may arrive in any order.</summary>
    public long LogStart { get; private set; }
    /// <summary>The offset at which the next push begins.</summary>
    public long NextOffset { get; private set; }
    /// <summary>The number of the latest push.</summary>
    public long Sequence { get; private set; }
    /// <summary>When anything was last sent, by the leader's clock.</summary>
    public long PushedAt { get; private set; } = Never;
    /// <summary>When batches were last sent, by the leader's clock.</summary>
    public long BatchesPushedAt { get; private set; } = now;
    /// <summary>Whether a push is being filled. One at a time, even if the session has changed meanwhile.</summary>
    public bool IsFilling { get; set; }
    /// <summary>The number of pushes with batches that neither their own answer nor a later one has covered.</summary>
    public int Unanswered => _unanswered.Count;
    /// <summary>When it was last known to hold everything that the leader held.</summary>
    public long CaughtUpAt { get; private set; } = now;
    /// <summary>The send time of the latest request that it acknowledged; far in the past before the first.</summary>
    public long AcknowledgedSentAt { get; private set; } = Never;

    /// <summary>Whether it must be served like an in-sync follower, since it would not catch up otherwise.</summary>
    public bool MustHurry(long leaderEnd) => _isTooSlow || (_grown >= 0 && CatchUpDecision.IsNear(leaderEnd - StatedEnd, _grown));

    /// <summary>Checks its progress from time to time. A follower that was too slow once is hurried until it is in sync. While it answers
    /// without progress, the interval goes on: its turn may come less often than the checks, and then it takes much at once.</summary>
    public void Watch(long leaderEnd, bool isInSync, long interval, long now)
    {
        if (!IsAligned || isInSync)
        {
            (_watched, _grown, _isTooSlow) = (null, -1, false);
            return;
        }
        if (_watched is { } before)
        {
            var isWaiting = StatedEnd == before.Stated && now - AcknowledgedSentAt <= SilentIntervals * interval;
            if (now - before.At < interval || isWaiting)
                return;
            _grown = leaderEnd - before.LeaderEnd;
            _isTooSlow |= CatchUpDecision.IsTooSlow(StatedEnd - before.Stated, _grown);
        }
        _watched = (now, StatedEnd, leaderEnd);
    }

    /// <summary>Whether this is the session's member. Another member opens the session <paramref name="next"/>.</summary>
    public bool Belongs(ReplicaIdentity identity, int session, ref int next)
    {
        if (session != Session)
            return false;
        if (Identity is null)
            Identity = identity;
        if (Identity == identity)
            return true;
        Identity = identity;
        Begin(++next);
        return false;
    }

    /// <summary>Begins a session: nothing counts that the follower answered before.</summary>
    public void Begin(int session)
    {
        (Session, IsAligned, CountedEnd, StatedEnd, LogStart, NextOffset, AcknowledgedSentAt) = (session, false, 0, 0, 0, 0, Never);
        _unanswered.Clear();
        _mark = null;
    }

    /// <summary>Records a push; without batches <paramref name="endOffset"/> is 0.</summary>
    /// <returns>Its number.</returns>
    public long Pushed(long endOffset, long leaderEnd, long now)
    {
        Sequence++;
        PushedAt = now;
        _mark ??= (now, leaderEnd);
        if (endOffset > 0)
        {
            NextOffset = endOffset;
            BatchesPushedAt = now;
            _unanswered.Enqueue(Sequence);
        }
        return Sequence;
    }

    /// <summary>Processes an answer to a push: the follower knows no later epoch than the leader's.</summary>
    /// <param name="answer">The answer.</param>
    /// <param name="logStart">See <see cref="IsrDecision.StatedStart"/>.</param>
    public void Answered(PushAnswer answer, long logStart)
    {
        AcknowledgedSentAt = Math.Max(AcknowledgedSentAt, answer.SentAt);
        if (answer.Sequence >= _startStatedAt)
        {
            LogStart = answer.Sequence > _startStatedAt ? logStart : Math.Min(LogStart, logStart);
            _startStatedAt = answer.Sequence;
        }
        while (_unanswered.TryPeek(out var oldest) && oldest <= answer.Sequence)
            _unanswered.Dequeue();
        switch (answer.Outcome)
        {
            case PushAnswerOutcome.Accepted:
                Accepted(answer);
                break;
            // Pushes that were in flight when a gap was detected are refused too, which is not news.
            case PushAnswerOutcome.Gap when answer.Sequence > _rewoundAt:
                StatedEnd = answer.LogEnd;
                Rewind();
                break;
            case PushAnswerOutcome.NotAligned:
                IsAligned = false;
                break;
        }
    }

    private void Accepted(PushAnswer answer)
    {
        if (!IsAligned)
        {
            StatedEnd = answer.LogEnd;
            Rewind();
        }
        IsAligned = true;
        CountedEnd = Math.Max(CountedEnd, answer.CountedEnd);
        StatedEnd = Math.Max(StatedEnd, answer.LogEnd);
        NextOffset = Math.Max(NextOffset, answer.LogEnd);
        if (_mark is { } mark && answer.CountedEnd >= mark.LeaderEnd)
        {
            CaughtUpAt = Math.Max(CaughtUpAt, mark.SentAt);
            _mark = null;
        }
    }

    /// <summary>Resends everything beyond the follower's stated end.</summary>
    public void Rewind()
    {
        NextOffset = StatedEnd;
        _rewoundAt = Sequence;
        _unanswered.Clear();
    }

    /// <summary>Returns the view that the ISR's decisions use.</summary>
    public FollowerView View(bool isAlive, long now) => new(Broker, Identity, isAlive, IsAligned, CountedEnd, StatedEnd, LogStart,
        now - CaughtUpAt);
}
