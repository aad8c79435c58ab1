using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Storage;
using OrleansMq.Grains.Brokers;
using OrleansMq.Outboxes;

namespace Orleans.Hosting;

/// <summary>Registers the outboxes of grains.</summary>
public static class OrleansMqOutboxExtensions
{
    /// <summary>
    /// Gives grains of this silo outboxes: constructor parameters with <see cref="OutboxStateAttribute"/>. Every silo that has such grain
    /// classes calls it, and is a broker (<c>AddOrleansMq()</c>): messages and wake-ups are sent as a broker sends them.
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
        // IBroker is a session; the broker behind it may use the internal topic. On a silo that is no broker, sends would be those of a
        // client, which may neither use that topic nor the producer ids of outboxes. The dispatcher needs it as the silo starts.
        silo.Services.AddSingleton(static services => new OutboxWakeUps(services.GetService<GrainBroker>()
            ?? throw new OrleansConfigurationException("The silo has outboxes (AddOrleansMqOutbox) and is no broker: call "
                + "silo.AddOrleansMq() on it, too. Host grain classes with outboxes on the silos that are brokers.")));
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
        if (WhyNotStored(type.GetGenericArguments()[0]) is { } why)
        {
            throw new ArgumentException($"The state class {type.GetGenericArguments()[0]} of the parameter '{parameter.Name}' of "
                + $"{parameter.Member.DeclaringType} would be stored without its messages: {why}");
        }
        var create = s_create.MakeGenericMethod(type.GetGenericArguments())
            .CreateDelegate<Func<IGrainContext, OutboxStateAttribute, Type, object>>();
        return context => create(context, metadata, parameter.Member.DeclaringType!);
    }

    /// <summary>Returns what keeps serializers of storages from storing the property <see cref="IHasOutbox.Outbox"/> of a class; null for
    /// nothing that can be seen.</summary>
    internal static string? WhyNotStored(Type state)
    {
        if (state.GetProperty(nameof(IHasOutbox.Outbox)) is not { CanRead: true, CanWrite: true } property)
            return "make 'Outbox' a public property with a getter and a setter, and not an explicit one of IHasOutbox.";
        if (property.GetCustomAttributes(inherit: true).FirstOrDefault(static attribute =>
            attribute.GetType().Name is "JsonIgnoreAttribute" or "IgnoreDataMemberAttribute") is { } ignored)
            return $"take [{ignored.GetType().Name[..^"Attribute".Length]}] from its property 'Outbox'.";
        var field = property.DeclaringType!.GetField($"<{property.Name}>k__BackingField", BindingFlags.NonPublic | BindingFlags.Instance);
        var hasId = property.IsDefined(typeof(IdAttribute), inherit: true) || field?.IsDefined(typeof(IdAttribute)) == true;
        return property.DeclaringType.GetCustomAttribute<GenerateSerializerAttribute>() is { GenerateFieldIds: GenerateFieldIds.None }
            && !hasId ? "give its property 'Outbox' an [Id], as the other ones have." : null;
    }

    private static object Create<TState>(IGrainContext context, OutboxStateAttribute metadata, Type grain)
        where TState : class, IHasOutbox, new()
    {
        var services = context.ActivationServices;
        var storage = (metadata.StorageName is { } name ? services.GetKeyedService<IGrainStorage>(name)
            : services.GetService<IGrainStorage>()) ?? throw new InvalidOperationException(metadata.StorageName is { } missing
                ? $"State '{metadata.StateName}' of grain {context.GrainId} names the storage '{missing}', which the silo has not: "
                    + $"register it, as with AddMemoryGrainStorage(\"{missing}\")."
                : $"State '{metadata.StateName}' of grain {context.GrainId} names no storage, and the silo has no default one: name it in "
                    + "[OutboxState], or register a default.");
        var copy = StateCopies.Find<TState>(services, out var leftOut);
        if (copy is null && StateCopies.Interleaves(grain))
        {
            throw new InvalidOperationException($"Calls of {grain} interleave, and its state class {typeof(TState)} cannot be copied for a "
                + $"write, because of {leftOut}: give the class and each class in it [GenerateSerializer], and each of their fields and "
                + "properties an [Id]. Otherwise a change of another call could be stored without its messages.");
        }
        return new OutboxState<TState>(context, storage, metadata.StateName, services.GetRequiredService<OutboxServices>(), copy);
    }
}
