using System.Collections.Concurrent;
using OrleansMq.Access;
using OrleansMq.Brokers;
using OrleansMq.Diagnostics;
using OrleansMq.Security;

namespace OrleansMq.Grains.Access;

/// <summary>
/// Whose a grain call is, by the ticket that it carries. What else a call says of its caller, the caller itself has written.
/// <list type="bullet">
/// <item>A broker's ticket: it comes from a broker, or from the application's own grains in its silo. It is good for the grain and the
/// interface alone that it was made for.</item>
/// <item>A client's: from a client that has logged in as the ticket's principal.</item>
/// <item>None: from a client that has not.</item>
/// <item>One that is not good: the call is refused.</item>
/// </list>
/// While authorization only warns, brokers may be of a version without tickets, or have authorization off: what would be refused is logged
/// and counted. Thread safe.
/// </summary>
internal sealed class CallTickets
{
    private const string UserPrefix = "User:";
    // A broker with more users at a time decides again, which costs a look at the authorizer's memory.
    private const int MaxSessions = 10_000;

    private readonly BrokerTickets _tickets;
    private readonly BrokerSecurity _users;
    private readonly BrokerAccess _access;
    private readonly bool _onlyWarns;
    private readonly SessionAccess _strangers;
    private readonly SessionAccess _silos;
    private readonly ConcurrentDictionary<(string Principal, long CreatedAt), SessionAccess> _sessions = new();
    private readonly RareLine _refused;
    private readonly RareLine _wouldRefuse;

    /// <param name="tickets">The cluster's tickets.</param>
    /// <param name="users">The users, of whom tickets tell.</param>
    /// <param name="access">Opens sessions.</param>
    /// <param name="strangers">The session of clients without a ticket.</param>
    /// <param name="options">Whether authorization only warns; log and clock.</param>
    public CallTickets(BrokerTickets tickets, BrokerSecurity users, BrokerAccess access, SessionAccess strangers, BrokerOptions options)
    {
        (_tickets, _users, _access, _strangers) = (tickets, users, access, strangers);
        _onlyWarns = !options.Security.RefusesBadTickets;
        _silos = access.Open(BrokerSession.InProcess);
        _refused = new RareLine(options.Log, options.TimeProvider);
        _wouldRefuse = new RareLine(options.Log, options.TimeProvider);
    }

    /// <summary>The session of the call of a target that is carried out.</summary>
    /// <exception cref="BrokerException">Its ticket is not good.</exception>
    public SessionAccess CallerOf(CallTarget target) => Read(target) is not { } ticket ? _strangers : SessionOf(ticket);

    /// <summary>Whether the call comes from a broker.</summary>
    /// <param name="target">What is called.</param>
    /// <param name="isClaimed">Whether it says so.</param>
    /// <param name="caller">The session of the client where it does not.</param>
    /// <exception cref="BrokerException">Its ticket is not good.</exception>
    public bool IsOfBroker(CallTarget target, bool isClaimed, out SessionAccess caller)
    {
        var ticket = Read(target);
        caller = ticket is null ? _strangers : SessionOf(ticket);
        if (ticket is { Kind: TicketKind.Broker })
            return true;
        if (!_onlyWarns || !isClaimed || ticket is not null)
            return false;
        Warn();
        return true;
    }

    /// <summary>Refuses a call that does not come from a broker.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.ClusterAuthorizationFailed"/>, or its ticket is not good.</exception>
    public void DemandBroker(CallTarget target)
    {
        var ticket = Read(target);
        if (ticket is { Kind: TicketKind.Broker })
            return;
        if (_onlyWarns)
        {
            Warn();
            return;
        }
        _access.Denied((ticket is null ? _strangers : SessionOf(ticket)).Session, AccessOperation.ClusterAction, ResourceType.Cluster,
            ResourceTypes.Cluster);
        throw new BrokerException(ErrorCode.ClusterAuthorizationFailed, "Only brokers of the cluster may call this, and the call carries "
            + "no broker's ticket. A broker sends one unless its authorization is off, or its version is too old.");
    }

    private void Warn() => Warn("a call between brokers carries no ticket. It is of a client with code of its own, or of a broker that has "
        + "authorization off or is of an earlier version.");

    private void Warn(string fault)
    {
        _access.Meter.Denials.Warned(AccessOperation.ClusterAction, ResourceType.Cluster);
        _wouldRefuse.Write(EngineLogLevel.Warning, $"Allowed, since authorization only warns: {fault}");
    }

    private TicketFault Verify(byte[] bytes, CallTarget target, out Ticket? ticket)
    {
        if (!TicketFormat.IsBound(bytes))
            return _tickets.Verify(bytes, default, out ticket);
        return _tickets.Verify(bytes, target.Write(stackalloc byte[CallTarget.Room]), out ticket);
    }

    private Ticket? Read(CallTarget target)
    {
        if (TicketedCalls.Carried is not { } carried)
            return null;
        Ticket? ticket = null;
        var fault = carried is byte[] bytes ? Verify(bytes, target, out ticket) : TicketFault.Malformed;
        if (fault == TicketFault.None && IsOfUser(ticket!))
            return ticket;
        // The broker that made it knows more of its user.
        if (fault == TicketFault.None && ticket!.ChangedAt > _users.Version && !_onlyWarns)
        {
            _users.Hear(ticket.ChangedAt);
            throw new BrokerException(ErrorCode.BrokerNotAvailable, "This broker has not read yet how the user of the call's ticket has "
                + "changed. Retry.");
        }
        _access.Meter.Denials.Failed(SessionProtocol.Orleans);
        var reason = ReasonOf(fault);
        if (_onlyWarns)
        {
            Warn($"the ticket of a grain call {reason}.");
            return null;
        }
        _refused.Write(EngineLogLevel.Warning, $"Refused: the ticket of a grain call {reason}.");
        // The key of another broker's ticket is read meanwhile.
        throw new BrokerException(fault == TicketFault.UnknownKey ? ErrorCode.BrokerNotAvailable : ErrorCode.SaslAuthenticationFailed,
            $"The ticket of the call {reason}. " + (fault == TicketFault.UnknownKey ? "Retry." : "Log in again."));
    }

    private static string ReasonOf(TicketFault fault) => fault switch
    {
        TicketFault.None => "is of a user that was deleted, or whose password has changed",
        TicketFault.Expired => "has expired",
        TicketFault.Forged => "was made by no broker of this cluster, or for another grain, or was altered",
        TicketFault.Unbound => "is of a broker of an earlier version, and good at every grain",
        TicketFault.DroppedKey => "was made with a key that has been dropped",
        TicketFault.UnknownKey => "was made with a key that this broker does not know",
        _ => "is none that this broker can read",
    };

    private bool IsOfUser(Ticket ticket) => ticket.CreatedAt < 0
        || (_users.CreatedAt(UserOf(ticket)) == ticket.CreatedAt && _users.ChangedAt(UserOf(ticket)) == ticket.ChangedAt);

    private static string UserOf(Ticket ticket) => ticket.Principal[UserPrefix.Length..];

    private SessionAccess SessionOf(Ticket ticket)
    {
        if (ticket.Kind == TicketKind.Broker)
            return _silos;
        var key = (ticket.Principal, ticket.CreatedAt);
        if (_sessions.TryGetValue(key, out var known))
            return known;
        if (_sessions.Count >= MaxSessions)
            _sessions.Clear();
        return _sessions.GetOrAdd(key, _access.Open(BrokerSession.Orleans with { Principal = ticket.Principal },
            ticket.CreatedAt < 0 ? null : () => _users.CreatedAt(UserOf(ticket)) == ticket.CreatedAt));
    }
}
