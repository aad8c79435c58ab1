using System.Diagnostics.Metrics;

namespace OrleansMq.Access;

/// <summary>What the sessions of one broker do, in numbers. Thread safe.</summary>
internal sealed class AccessMeter
{
    /// <summary>Records and bytes by topic.</summary>
    public TopicTraffic Topics { get; } = new();

    /// <summary>Offset commits.</summary>
    public CommitTraffic Commits { get; } = new();

    /// <summary>Refused operations, and failed authentications.</summary>
    public AccessDenials Denials { get; } = new();

    /// <summary>Raised with its id when a session has deleted a group, on the thread of the request.</summary>
    public event Action<string>? GroupDeleted;

    /// <summary>Adds the instruments that report the numbers.</summary>
    public void AddTo(Meter meter)
    {
        Topics.AddTo(meter);
        Commits.AddTo(meter);
        Denials.AddTo(meter);
    }

    internal void Forget(string groupId) => GroupDeleted?.Invoke(groupId);
}
