using OrleansMq.Access;
using OrleansMq.Diagnostics;

namespace OrleansMq.Security;

/// <summary>
/// Decides what sessions may do by the rules of an <see cref="AclImage"/>: super users first, then denials, then grants; what nothing
/// allows is refused. A check is a memory read. Code in the broker's own process may do everything. AMQP has users of its own, whom its
/// administrators name as they like: a name makes none of them a super user. Thread safe.
/// </summary>
internal sealed class AclAuthorizer : IAuthorizer
{
    private readonly SecurityOptions _options;
    private readonly RareLine _wouldRefuse;
    private volatile AclImage _image = AclImage.Empty;
    private volatile bool _isRead;
    private int _version;
    private long _warned;

    /// <param name="options">Super users, and what is not covered by rules.</param>
    /// <param name="log">Receives what a dry run would refuse.</param>
    /// <param name="clock">The clock.</param>
    public AclAuthorizer(SecurityOptions options, EngineLog log, TimeProvider clock)
    {
        _options = options;
        _wouldRefuse = new RareLine(log, clock);
    }

    /// <inheritdoc/>
    public int Version => Volatile.Read(ref _version);

    /// <summary>The operations so far that a dry run would have refused.</summary>
    public long Warned => Interlocked.Read(ref _warned);

    /// <summary>Whether the rules are known. Before, only super users may do anything.</summary>
    public bool IsRead => _isRead;

    /// <summary>The rules in force.</summary>
    public AclImage Image
    {
        get => _image;
        set
        {
            (_image, _isRead) = (value, true);
            Interlocked.Increment(ref _version);
        }
    }

    /// <inheritdoc/>
    public bool Allows(BrokerSession session, AccessOperation operation, ResourceType type, string name)
    {
        if (session.Protocol == SessionProtocol.InProcess || IsSuperUser(session)
            || DecideByRules(session.Principal, session.Host, operation, type, name).IsAllowed)
            return true;
        if (_options.Authorization == AuthorizationMode.Enforce)
            return false;
        Warn($"{LoggedText.Of(session.Principal)} from '{LoggedText.Of(session.Host)}' may not {operation} {type} "
            + $"'{LoggedText.Of(name)}'.");
        return true;
    }

    /// <summary>Counts and logs what authorization would refuse if it did not only warn.</summary>
    /// <param name="fault">What would be refused, as a sentence.</param>
    public void Warn(string fault)
    {
        Interlocked.Increment(ref _warned);
        _wouldRefuse.Write(EngineLogLevel.Warning,
            $"Authorization would refuse: {fault} It is allowed, since authorization only warns.");
    }

    /// <inheritdoc/>
    public bool AllowsAny(BrokerSession session, AccessOperation operation, ResourceType type) =>
        session.Protocol == SessionProtocol.InProcess || _options.Authorization != AuthorizationMode.Enforce
        || IsSuperUser(session)
        || (_options.AllowEveryoneIfNoAclFound && _isRead && !_image.DeniesEvery(session.Principal, session.Host, operation, type))
        || _image.AllowsAny(session.Principal, session.Host, operation, type);

    /// <summary>Decides on a principal of any door but AMQP's, and tells why.</summary>
    public AclDecision Decide(string principal, string host, AccessOperation operation, ResourceType type, string name)
    {
        return _options.SuperUsers.Contains(principal) ? new AclDecision(true, AclReason.SuperUser)
            : DecideByRules(principal, host, operation, type, name);
    }

    private bool IsSuperUser(BrokerSession session) =>
        session.Protocol != SessionProtocol.Amqp && _options.SuperUsers.Contains(session.Principal);

    private AclDecision DecideByRules(string principal, string host, AccessOperation operation, ResourceType type, string name)
    {
        var decision = _image.Decide(principal, host, operation, type, name);
        return decision.Reason == AclReason.NoRules && _options.AllowEveryoneIfNoAclFound && _isRead
            ? decision with { IsAllowed = true } : decision;
    }
}
