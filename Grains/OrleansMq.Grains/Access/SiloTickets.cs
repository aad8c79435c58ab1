using System.Collections.Frozen;
using Microsoft.Extensions.DependencyInjection;
using OrleansMq.Grains.Security;
using OrleansMq.Security;

namespace OrleansMq.Grains.Access;

/// <summary>The ticket of this silo, for its calls to the grains of brokers: those of the broker, and of the application's own grains. A
/// silo without authorization sends none.</summary>
internal sealed class SiloTickets(BrokerTickets tickets) : ITicketSource
{
    // Grains of clients, and what brokers have among each other.
    private static readonly FrozenSet<Type> Interfaces =
        TicketedCalls.OfClients.Concat(TicketedCalls.InterfacesOf(typeof(SiloTickets).Assembly)).ToFrozenSet();

    /// <inheritdoc/>
    public byte[]? Current => tickets.Own;

    /// <summary>Has the calls of a silo carry its ticket.</summary>
    public static void AddTo(IServiceCollection services) => TicketedCalls.AddTo(services, static provider =>
        provider.GetRequiredService<SiloSecurity>().Tickets is { } tickets
            ? new TicketedCalls(Interfaces, new SiloTickets(tickets)) : null);
}
