using System.Collections.Frozen;
using Microsoft.Extensions.DependencyInjection;

namespace OrleansMq.Grains.Access;

/// <summary>
/// Puts a ticket into the <see cref="RequestContext"/> of calls to the grains of brokers, and of those alone: from every other call it
/// takes a ticket away that has come with the request which makes the call. So no ticket reaches a grain of the application, and a call
/// carries the ticket of the process that makes it, whatever has caused it.
/// <para>It is a call filter that <see cref="AddTo"/> gives to Orleans' runtime of grain references when that is created. A filter among
/// the services could not be left out where it turns out that there are no tickets, and would then cost every call of the process.</para>
/// </summary>
/// <param name="interfaces">The interfaces whose calls carry a ticket.</param>
/// <param name="tickets">The tickets of this process.</param>
internal sealed class TicketedCalls(FrozenSet<Type> interfaces, ITicketSource tickets) : IOutgoingGrainCallFilter
{
    /// <summary>The ticket's key in the <see cref="RequestContext"/>; the value is an array of bytes.</summary>
    public const string Key = "omq.ticket";

    /// <summary>The grains that clients call, too.</summary>
    public static FrozenSet<Type> OfClients { get; } = InterfacesOf(typeof(TicketedCalls).Assembly).ToFrozenSet();

    /// <summary>The grains that clients call with the ticket of their login.</summary>
    public static FrozenSet<Type> OfLoggedIn { get; } = OfClients.Except([typeof(ILoginGrain)]).ToFrozenSet();

    /// <summary>The ticket of the call that is carried out; null where it has none.</summary>
    public static object? Carried => RequestContext.Get(Key);

    /// <summary>The grains and services that an assembly declares.</summary>
    public static IEnumerable<Type> InterfacesOf(System.Reflection.Assembly assembly) => assembly.GetTypes()
        .Where(static type => type.IsInterface && type.IsAssignableTo(typeof(IAddressable)));

    /// <summary>Has it filter the calls of a process, after the filters of the application.</summary>
    /// <param name="services">The services of a client or silo, with those of Orleans.</param>
    /// <param name="create">Creates it; returns null for calls without tickets.</param>
    public static void AddTo(IServiceCollection services, Func<IServiceProvider, TicketedCalls?> create)
    {
        var isAdded = services.Any(static service => service.ServiceType == typeof(Factory));
        services.AddSingleton(new Factory(create));
        for (var index = 0; index < services.Count && !isAdded; index++)
        {
            var present = services[index];
            if (present.IsKeyedService || present.ServiceType != typeof(IGrainReferenceRuntime)
                || present.ImplementationType is not { } type)
                continue;
            // The filters are one argument.
            services[index] = ServiceDescriptor.Singleton(provider => (IGrainReferenceRuntime)ActivatorUtilities.CreateInstance(provider,
                type, (object)FiltersOf(provider)));
            isAdded = true;
        }
        if (!isAdded)
            throw new InvalidOperationException("There is no Orleans client or silo among the services, whose calls could carry tickets.");
    }

    /// <inheritdoc/>
    public Task Invoke(IOutgoingGrainCallContext context)
    {
        var ticket = interfaces.Contains(context.Request.GetInterfaceType()) ? tickets.For(context) : null;
        return ticket is not null && tickets.CanRenew ? InvokeAgainAsync(context, ticket) : Invoke(context, ticket);
    }

    // A call that is refused for its ticket was not carried out. The second one, too, is made where the caller runs: in its grain.
    private async Task InvokeAgainAsync(IOutgoingGrainCallContext context, byte[] ticket)
    {
        try
        {
            await Invoke(context, ticket).ConfigureAwait(true);
        }
        catch (BrokerException refused) when (refused.Code == ErrorCode.SaslAuthenticationFailed)
        {
            if (!await tickets.RenewAsync(ticket).ConfigureAwait(true))
                throw;
            await Invoke(context, tickets.For(context)).ConfigureAwait(true);
        }
    }

    // The rest of the chain, which is synchronous up to there, copies the context into the message before it returns.
    private static Task Invoke(IOutgoingGrainCallContext context, byte[]? ticket)
    {
        var (before, isChanged) = Enter(ticket);
        try
        {
            return context.Invoke();
        }
        finally
        {
            if (isChanged)
                Put(before);
        }
    }

    private static IOutgoingGrainCallFilter[] FiltersOf(IServiceProvider provider) =>
        [.. provider.GetServices<IOutgoingGrainCallFilter>(), .. provider.GetServices<Factory>()
            .Select(factory => factory.Create(provider)).OfType<TicketedCalls>()];

    private static (object? Before, bool IsChanged) Enter(byte[]? ticket)
    {
        var before = Carried;
        if (ReferenceEquals(before, ticket))
            return (before, false);
        Put(ticket);
        return (before, true);
    }

    private static void Put(object? ticket)
    {
        if (ticket is null)
            RequestContext.Remove(Key);
        else
            RequestContext.Set(Key, ticket);
    }

    private sealed record Factory(Func<IServiceProvider, TicketedCalls?> Create);
}

/// <summary>The tickets of a process.</summary>
internal interface ITicketSource
{
    /// <summary>Whether a ticket that is refused can be had anew.</summary>
    bool CanRenew { get; }

    /// <summary>The ticket of a call that begins now; null where it carries none.</summary>
    byte[]? For(IOutgoingGrainCallContext call);

    /// <summary>Has calls carry other tickets than one that was refused.</summary>
    /// <returns>False where there are none to be had now.</returns>
    ValueTask<bool> RenewAsync(byte[] refused);
}
