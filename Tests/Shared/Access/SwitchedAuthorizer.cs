using OrleansMq.Access;

namespace OrleansMq.Tests.Shared;

/// <summary>Denies everything while it is switched to deny; counts the decisions that it is asked for.</summary>
public sealed class SwitchedAuthorizer : IAuthorizer
{
    private int _version;
    private int _decisions;
    private volatile bool _denies;

    public int Version => Volatile.Read(ref _version);

    /// <summary>The decisions so far.</summary>
    public int Decisions => Volatile.Read(ref _decisions);

    /// <summary>Whether everything is denied from now on.</summary>
    public bool Denies
    {
        get => _denies;
        set
        {
            _denies = value;
            Interlocked.Increment(ref _version);
        }
    }

    public bool Allows(BrokerSession session, AccessOperation operation, ResourceType type, string name)
    {
        Interlocked.Increment(ref _decisions);
        return !_denies;
    }
}
