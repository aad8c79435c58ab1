namespace OrleansMq.Replication;

/// <summary>What a leader knows of one follower, in its own epoch.</summary>
internal sealed class FollowerProgress(int broker, int session, long now)
{
    /// <summary>A time before every lease.</summary>
    public const long Never = long.MinValue / 2;

    private readonly Queue<long> _unanswered = [];
    private long _rewoundAt;
    // A push that is not answered yet, and what the leader held then: who has reached that had caught up at that time.
    private (long SentAt, long LeaderEnd)? _mark;
    // Where it and the leader's log stood when that was looked at last; by how much the leader's grew until then, over one interval; and
    // whether it was too slow.
    private (long At, long Stated, long LeaderEnd)? _watched;
    private long _grown = -1;
    private bool _isTooSlow;

    /// <summary>The follower.</summary>
    public int Broker { get; } = broker;
    /// <summary>Raised when another member answers than before, so that what the former one said counts no more.</summary>
    public int Session { get; private set; } = session;
    /// <summary>Who answers in this session; null before the first answer.</summary>
    public ReplicaIdentity? Identity { get; private set; }
    /// <summary>Its last answer was given aligned.</summary>
    public bool IsAligned { get; private set; }
    /// <summary>The highest end that counts of those it acknowledged in this session.</summary>
    public long CountedEnd { get; private set; }
    /// <summary>The log end it stated last, aligned: from here on is sent again what is not answered.</summary>
    public long StatedEnd { get; private set; }
    /// <summary>What is sent next begins here.</summary>
    public long NextOffset { get; private set; }
    /// <summary>The number of the latest push.</summary>
    public long Sequence { get; private set; }
    /// <summary>When anything was sent last, leader's clock.</summary>
    public long PushedAt { get; private set; } = Never;
    /// <summary>When batches were sent last, leader's clock.</summary>
    public long BatchesPushedAt { get; private set; } = now;
    /// <summary>A push is being filled. Also when the session has changed meanwhile: one at a time.</summary>
    public bool IsFilling { get; set; }
    /// <summary>Pushes with batches whose answer, or a later one's, is missing.</summary>
    public int Unanswered => _unanswered.Count;
    /// <summary>When it was last known to hold all the leader held.</summary>
    public long CaughtUpAt { get; private set; } = now;
    /// <summary>When the latest request was sent that it acknowledged; far in the past before the first.</summary>
    public long AcknowledgedSentAt { get; private set; } = Never;

    /// <summary>Whether it must be sent to as if somebody waited for it: it would not get in sync otherwise.</summary>
    public bool MustHurry(long leaderEnd) => _isTooSlow || (_grown >= 0 && CatchUpDecision.IsNear(leaderEnd - StatedEnd, _grown));

    /// <summary>Looks, from time to time, how it comes on. Whoever was once too slow hurries until it is in sync.</summary>
    public void Watch(long leaderEnd, bool isInSync, long interval, long now)
    {
        if (!IsAligned || isInSync)
        {
            (_watched, _grown, _isTooSlow) = (null, -1, false);
            return;
        }
        if (_watched is { } before)
        {
            if (now - before.At < interval)
                return;
            _grown = leaderEnd - before.LeaderEnd;
            _isTooSlow |= CatchUpDecision.IsTooSlow(StatedEnd - before.Stated, _grown);
        }
        _watched = (now, StatedEnd, leaderEnd);
    }

    /// <summary>Whether this is the member of the session. Another one opens the session <paramref name="next"/>.</summary>
    public bool Belongs(ReplicaIdentity identity, int session, ref int next)
    {
        if (session != Session)
            return false;
        if (Identity is null)
            Identity = identity;
        if (Identity == identity)
            return true;
        (Session, Identity, IsAligned, CountedEnd, StatedEnd, NextOffset, AcknowledgedSentAt) = (++next, identity, false, 0, 0, 0, Never);
        _unanswered.Clear();
        _mark = null;
        return false;
    }

    /// <summary>A push goes out; without batches <paramref name="endOffset"/> is 0.</summary>
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

    /// <summary>The follower answered a push: it knows of no later epoch than the leader's.</summary>
    public void Answered(PushAnswer answer)
    {
        AcknowledgedSentAt = Math.Max(AcknowledgedSentAt, answer.SentAt);
        while (_unanswered.TryPeek(out var oldest) && oldest <= answer.Sequence)
            _unanswered.Dequeue();
        switch (answer.Outcome)
        {
            case PushAnswerOutcome.Accepted:
                Accepted(answer);
                break;
            // Those that were on their way when a gap was noticed are refused as well: they tell nothing new.
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

    /// <summary>Sends again all that the follower has not stated to hold.</summary>
    public void Rewind()
    {
        NextOffset = StatedEnd;
        _rewoundAt = Sequence;
        _unanswered.Clear();
    }

    /// <summary>As the ISR's decisions see it.</summary>
    public FollowerView View(bool isAlive, long now) => new(Broker, Identity, isAlive, IsAligned, CountedEnd, now - CaughtUpAt);
}
