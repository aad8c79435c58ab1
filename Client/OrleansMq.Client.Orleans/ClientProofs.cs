using System.Collections.Concurrent;
using OrleansMq.Grains.Access;
using OrleansMq.Security;

namespace OrleansMq.Client;

/// <summary>The tickets that a client makes by the session of its login. Each is good for one grain and interface alone, and is kept for
/// half of its life. Thread safe.</summary>
/// <param name="session">The session.</param>
internal sealed class ClientProofs(TicketSession session)
{
    // More than a client calls in the time that a ticket is good for. They are forgotten all at once: making one takes a microsecond.
    private const int MaxKept = 20_000;

    private static readonly TimeSpan KeptFor = BrokerTickets.BoundLife / 2;

    private readonly ConcurrentDictionary<CallTarget, Kept> _kept = new();

    /// <summary>The session.</summary>
    public TicketSession Session => session;

    /// <summary>The ticket of calls of a target.</summary>
    /// <param name="target">What is called.</param>
    /// <param name="elapsed">The time since the login was asked for.</param>
    public byte[] For(CallTarget target, TimeSpan elapsed)
    {
        if (_kept.TryGetValue(target, out var kept) && elapsed < kept.RenewAt)
            return kept.Bytes;
        var made = session.Prove(elapsed, target.Write(stackalloc byte[CallTarget.Room]));
        if (_kept.Count >= MaxKept)
            _kept.Clear();
        _kept[target] = new Kept(made, elapsed + KeptFor);
        return made;
    }

    private sealed record Kept(byte[] Bytes, TimeSpan RenewAt);
}
