using System.Collections.Concurrent;
using System.Collections.Frozen;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Grains.Hosting;
using OrleansMq.Grains.Security;
using OrleansMq.Security;

namespace OrleansMq.Grains.Access;

/// <summary>The tickets of this silo, for its calls to the grains of brokers: those of the broker, and of the application's own grains.
/// Each is good for one grain and interface alone. So a program that has Orleans take it for a silo gets nothing by which it could call
/// others. A silo without authorization sends none. Thread safe.</summary>
/// <param name="tickets">Makes them.</param>
/// <param name="refusesBad">Whether brokers refuse calls without one.</param>
internal sealed class SiloTickets(BrokerTickets tickets, bool refusesBad) : ITicketSource
{
    // Grains of clients, and what brokers have among each other.
    private static readonly FrozenSet<Type> Interfaces =
        TicketedCalls.OfClients.Concat(TicketedCalls.InterfacesOf(typeof(SiloTickets).Assembly)).ToFrozenSet();

    // More than a silo calls in the time that a ticket is good for. They are forgotten all at once: making one takes a microsecond.
    private const int MaxKept = 20_000;

    private readonly ConcurrentDictionary<CallTarget, BrokerTicket> _kept = new();

    /// <inheritdoc/>
    public bool CanRenew => false;

    /// <inheritdoc/>
    /// <exception cref="BrokerException"><see cref="ErrorCode.BrokerNotAvailable"/>: this silo has not read the key of tickets
    /// yet.</exception>
    public byte[]? For(IOutgoingGrainCallContext call) => For(new CallTarget(call.TargetId, call.Request.GetInterfaceType()));

    /// <summary>The ticket of calls of a target that begin now; null where they carry none.</summary>
    /// <exception cref="BrokerException"><see cref="ErrorCode.BrokerNotAvailable"/>: this silo has not read the key of tickets
    /// yet.</exception>
    public byte[]? For(CallTarget target) =>
        _kept.TryGetValue(target, out var kept) && tickets.IsCurrent(kept) ? kept.Bytes : Make(target);

    /// <inheritdoc/>
    public ValueTask<bool> RenewAsync(byte[] refused) => default;

    /// <summary>Has the calls of a silo carry its ticket.</summary>
    public static void AddTo(IServiceCollection services) => TicketedCalls.AddTo(services, static provider =>
        provider.GetRequiredService<SiloSecurity>().Tickets is { } tickets
            ? new TicketedCalls(Interfaces, new SiloTickets(tickets,
                provider.GetRequiredService<SiloBroker>().Options.Security.RefusesBadTickets)) : null);

    private byte[]? Make(CallTarget target)
    {
        var made = tickets.For(target.Write(stackalloc byte[CallTarget.Room]));
        if (made is null)
            return refusesBad ? throw new BrokerException(ErrorCode.BrokerNotAvailable,
                "This broker has not read the keys of tickets yet, and the others would refuse its call. Retry.") : null;
        if (_kept.Count >= MaxKept)
            _kept.Clear();
        _kept[target] = made;
        return made.Bytes;
    }
}
