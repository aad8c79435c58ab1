using System.Collections.Concurrent;
using System.Reflection;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using OrleansMq.Grains;

namespace OrleansMq.Consumers;

/// <summary>Marks an extension of grains that only silos of the cluster call: they deliver by it.</summary>
[AttributeUsage(AttributeTargets.Interface)]
internal sealed class CalledBySilosAttribute : Attribute;

/// <summary>Refuses calls of Orleans clients to extensions that only silos call: such a call could forge a delivery. The caller is the one
/// that Orleans writes into the message, which a program that speaks Orleans' protocol by itself can choose. Thread-safe.</summary>
internal sealed class SiloCallers : IIncomingGrainCallFilter
{
    private readonly ConcurrentDictionary<Type, bool> _guarded = new();

    /// <inheritdoc/>
    /// <exception cref="UnauthorizedAccessException">The caller is no silo.</exception>
    public Task Invoke(IIncomingGrainCallContext context)
    {
        var called = context.Request.GetInterfaceType();
        if (_guarded.GetOrAdd(called, static type => type.IsDefined(typeof(CalledBySilosAttribute))) && !IsSilo(context.SourceId))
        {
            throw new UnauthorizedAccessException($"{context.SourceId?.ToString() ?? "A caller without an id"} called "
                + $"{called.Name}.{context.MethodName} of grain {context.TargetId}, by which only silos of the cluster deliver: an Orleans "
                + "client may not. Produce a record to the topic, or schedule a timer, instead.");
        }
        return context.Invoke();
    }

    // A grain, or a service of a silo outside of its grains.
    private static bool IsSilo(GrainId? caller) => caller is not null && !OutsideCallers.IsOutside(caller);
}

/// <summary>Registers extensions of grains that deliver.</summary>
internal static class DeliveryExtensions
{
    /// <summary>Adds an extension to the grains of a silo, which only silos call.</summary>
    /// <typeparam name="TExtension">The extension; it has <see cref="CalledBySilosAttribute"/>.</typeparam>
    /// <typeparam name="TImplementation">What carries it out.</typeparam>
    /// <param name="silo">The silo.</param>
    public static void AddDeliveryExtension<TExtension, TImplementation>(this ISiloBuilder silo)
        where TExtension : class, IGrainExtension
        where TImplementation : class, TExtension
    {
        silo.Services.TryAddEnumerable(ServiceDescriptor.Singleton<IIncomingGrainCallFilter, SiloCallers>());
        silo.AddGrainExtension<TExtension, TImplementation>();
    }
}
