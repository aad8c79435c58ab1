namespace OrleansMq.Replication;

/// <summary>What a leader knows of one follower, in its own epoch.</summary>
internal sealed class FollowerProgress(int broker, long now)
{
    /// <summary>A time before every lease.</summary>
    public const long Never = long.MinValue / 2;

    /// <summary>The follower.</summary>
    public int Broker { get; } = broker;
    /// <summary>Raised when another member answers than before, so that what the former one said counts no more.</summary>
    public int Session { get; private set; } = 1;
    /// <summary>Who answers in this session; null before the first answer.</summary>
    public ReplicaIdentity? Identity { get; private set; }
    /// <summary>Its last answer was given aligned.</summary>
    public bool IsAligned { get; set; }
    /// <summary>The highest end it acknowledged in this session.</summary>
    public long CountedEnd { get; private set; }
    /// <summary>The next batch to send begins here.</summary>
    public long NextOffset { get; set; }
    /// <summary>When batches were sent last, leader's clock.</summary>
    public long PushedAt { get; set; } = now;
    /// <summary>When it was last known to hold all the leader held.</summary>
    public long CaughtUpAt { get; private set; } = now;
    /// <summary>When the latest request was sent that it acknowledged; far in the past before the first.</summary>
    public long AcknowledgedSentAt { get; private set; } = Never;

    /// <summary>Whether this is the member of the session. Another one opens a new session.</summary>
    public bool Belongs(ReplicaIdentity identity, int session)
    {
        if (session != Session)
            return false;
        if (Identity is null)
            Identity = identity;
        if (Identity == identity)
            return true;
        (Session, Identity, IsAligned, CountedEnd, NextOffset, AcknowledgedSentAt) = (Session + 1, identity, false, 0, 0, Never);
        return false;
    }

    /// <summary>The follower took a push and is aligned.</summary>
    public void Accepted(PushAnswer answer)
    {
        if (!IsAligned)
            NextOffset = answer.LogEnd;
        IsAligned = true;
        CountedEnd = Math.Max(CountedEnd, answer.CountedEnd);
        NextOffset = Math.Max(NextOffset, answer.LogEnd);
        if (answer.CountedEnd >= answer.LeaderEnd)
            CaughtUpAt = Math.Max(CaughtUpAt, answer.SentAt);
    }

    /// <summary>It knows of no later epoch than the leader's.</summary>
    public void Acknowledged(long sentAt) => AcknowledgedSentAt = Math.Max(AcknowledgedSentAt, sentAt);

    /// <summary>As the ISR's decisions see it.</summary>
    public FollowerView View(bool isAlive, long now) => new(Broker, Identity, isAlive, IsAligned, CountedEnd, now - CaughtUpAt);
}
