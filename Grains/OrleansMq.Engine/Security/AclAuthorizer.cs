using OrleansMq.Access;

namespace OrleansMq.Security;

/// <summary>
/// Decides what sessions may do by the rules of an <see cref="AclImage"/>: super users first, then denials, then grants; what nothing
/// allows is refused. A check is a memory read. Code in the broker's own process may do everything. AMQP has users of its own, whom its
/// administrators name as they like: a name makes none of them a super user. Thread safe.
/// </summary>
/// <param name="options">Super users, and what is not covered by rules.</param>
internal sealed class AclAuthorizer(SecurityOptions options) : IAuthorizer, IDryRun
{
    private volatile AclImage _image = AclImage.Empty;
    private volatile bool _isRead;
    private int _version;

    /// <inheritdoc/>
    public int Version => Volatile.Read(ref _version);

    /// <inheritdoc/>
    public bool OnlyWarns => options.Authorization == AuthorizationMode.Warn;

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
    public bool Allows(BrokerSession session, AccessOperation operation, ResourceType type, string name) =>
        options.Authorization != AuthorizationMode.Enforce || IsAllowed(session, operation, type, name);

    /// <inheritdoc/>
    public bool WouldRefuse(BrokerSession session, AccessOperation operation, ResourceType type, string name) =>
        OnlyWarns && !IsAllowed(session, operation, type, name);

    /// <inheritdoc/>
    public bool AllowsAny(BrokerSession session, AccessOperation operation, ResourceType type) =>
        session.Protocol == SessionProtocol.InProcess || options.Authorization != AuthorizationMode.Enforce
        || IsSuperUser(session)
        || (options.AllowEveryoneIfNoAclFound && _isRead && !_image.DeniesEvery(session.Principal, session.Host, operation, type))
        || _image.AllowsAny(session.Principal, session.Host, operation, type);

    /// <summary>Decides on a principal of any door but AMQP's, and tells why.</summary>
    public AclDecision Decide(string principal, string host, AccessOperation operation, ResourceType type, string name)
    {
        return options.IsSuperUser(principal) ? new AclDecision(true, AclReason.SuperUser)
            : DecideByRules(principal, host, operation, type, name);
    }

    private bool IsAllowed(BrokerSession session, AccessOperation operation, ResourceType type, string name) =>
        session.Protocol == SessionProtocol.InProcess || IsSuperUser(session)
        || DecideByRules(session.Principal, session.Host, operation, type, name).IsAllowed;

    private bool IsSuperUser(BrokerSession session) =>
        session.Protocol != SessionProtocol.Amqp && options.IsSuperUser(session.Principal);

    private AclDecision DecideByRules(string principal, string host, AccessOperation operation, ResourceType type, string name)
    {
        var decision = _image.Decide(principal, host, operation, type, name);
        return decision.Reason == AclReason.NoRules && options.AllowEveryoneIfNoAclFound && _isRead
            ? decision with { IsAllowed = true } : decision;
    }
}
