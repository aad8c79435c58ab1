using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;
using OrleansMq.Api;
using OrleansMq.Grains.Brokers;
using OrleansMq.Outboxes;

namespace Orleans.Hosting;

/// <summary>Registers the outboxes of grains.</summary>
public static class OrleansMqOutboxExtensions
{
    /// <summary>
    /// Gives grains of this silo outboxes: constructor parameters with <see cref="OutboxStateAttribute"/>. Every silo that has such grain
    /// classes calls it. The silo is a broker (<c>AddOrleansMq()</c>), or one of a cluster with brokers.
    /// </summary>
    /// <param name="silo">The silo.</param>
    /// <param name="configure">Changes the defaults.</param>
    /// <exception cref="ArgumentException">An option is out of its range; the message names it.</exception>
    public static ISiloBuilder AddOrleansMqOutbox(this ISiloBuilder silo,
        Func<OrleansMqOutboxOptions, OrleansMqOutboxOptions>? configure = null)
    {
        ArgumentNullException.ThrowIfNull(silo);
        var options = new OrleansMqOutboxOptions();
        options = configure?.Invoke(options) ?? options;
        options.Validate();
        if (silo.Services.Any(static service => service.ServiceType == typeof(OutboxServices)))
            throw new InvalidOperationException("The silo has outboxes already: call AddOrleansMqOutbox once.");
        silo.AddOrleansMqClient();
        silo.Services.AddSingleton(options);
        // On a broker's silo, IBroker is a session; the broker behind it may use the internal topic.
        silo.Services.AddSingleton(static services =>
            new OutboxWakeUps(services.GetService<GrainBroker>() ?? services.GetRequiredService<IBroker>()));
        silo.Services.AddSingleton<OutboxServices>();
        silo.Services.AddSingleton<IAttributeToFactoryMapper<OutboxStateAttribute>, OutboxStateMapper>();
        silo.AddGrainExtension<IOutboxExtension, OutboxExtension>();
        silo.Services.AddSingleton<ILifecycleParticipant<ISiloLifecycle>>(static services =>
            ActivatorUtilities.CreateInstance<OutboxDispatcher>(services));
        return silo;
    }
}

/// <summary>Creates the states of constructor parameters.</summary>
internal sealed class OutboxStateMapper : IAttributeToFactoryMapper<OutboxStateAttribute>
{
    private static readonly MethodInfo s_create = typeof(OutboxStateMapper).GetMethod(nameof(Create),
        BindingFlags.NonPublic | BindingFlags.Static)!;

    /// <inheritdoc/>
    public Factory<IGrainContext, object> GetFactory(ParameterInfo parameter, OutboxStateAttribute metadata)
    {
        var type = parameter.ParameterType;
        if (!type.IsGenericType || type.GetGenericTypeDefinition() != typeof(IOutboxState<>))
        {
            throw new ArgumentException($"The parameter '{parameter.Name}' of {parameter.Member.DeclaringType} has [OutboxState] and is "
                + $"a {type}: make it an IOutboxState of the state class.");
        }
        var create = s_create.MakeGenericMethod(type.GetGenericArguments())
            .CreateDelegate<Func<IGrainContext, OutboxStateAttribute, object>>();
        return context => create(context, metadata);
    }

    private static object Create<TState>(IGrainContext context, OutboxStateAttribute metadata)
        where TState : class, IHasOutbox, new()
    {
        var services = context.ActivationServices;
        var storage = (metadata.StorageName is { } name ? services.GetKeyedService<IGrainStorage>(name)
            : services.GetService<IGrainStorage>()) ?? throw new InvalidOperationException(metadata.StorageName is { } missing
                ? $"State '{metadata.StateName}' of grain {context.GrainId} names the storage '{missing}', which the silo has not: "
                    + $"register it, as with AddMemoryGrainStorage(\"{missing}\")."
                : $"State '{metadata.StateName}' of grain {context.GrainId} names no storage, and the silo has no default one: name it in "
                    + "[OutboxState], or register a default.");
        return new OutboxState<TState>(context, storage, metadata.StateName, services.GetRequiredService<OutboxServices>());
    }
}
