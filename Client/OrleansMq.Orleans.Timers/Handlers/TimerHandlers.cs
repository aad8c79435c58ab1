using System.Collections.Concurrent;
using System.Collections.Frozen;

namespace OrleansMq.Timers;

/// <summary>What grain classes handle. Thread-safe.</summary>
internal sealed class TimerHandlers(OrleansMqTimerOptions options)
{
    private readonly ConcurrentDictionary<Type, FrozenDictionary<string, TimerHandler>> _byClass = [];

    /// <summary>Returns how a class handles messages of a type; null: it does not.</summary>
    /// <param name="grainClass">The class, with its type arguments.</param>
    /// <param name="message">The name of the type.</param>
    public TimerHandler? Find(Type grainClass, string message) => _byClass.GetOrAdd(grainClass, type => MessagesOf(type)
        .ToFrozenDictionary(MessageNames.Of, message => (TimerHandler)Activator.CreateInstance(
            typeof(TimerHandler<>).MakeGenericType(message), options)!)).GetValueOrDefault(message);

    /// <summary>Returns the types of messages that a class handles.</summary>
    /// <exception cref="OrleansConfigurationException">It cannot; the message names the class and what to do.</exception>
    public static IReadOnlyList<Type> MessagesOf(Type grainClass)
    {
        var messages = grainClass.GetInterfaces().Where(static face => face.IsGenericType
            && face.GetGenericTypeDefinition() == typeof(IDurableTimerHandler<>)).Select(static face => face.GetGenericArguments()[0])
            .ToList();
        if (messages.Count > 0 && grainClass.IsDefined(typeof(Orleans.Concurrency.StatelessWorkerAttribute), inherit: true))
        {
            throw new OrleansConfigurationException($"Grain class {grainClass.FullName} implements IDurableTimerHandler and is a "
                + "[StatelessWorker], which has several activations of one key: remove one of them.");
        }
        if (messages.GroupBy(MessageNames.Of, StringComparer.Ordinal).FirstOrDefault(static same => same.Count() > 1) is { } twice)
        {
            throw new OrleansConfigurationException($"Grain class {grainClass.FullName} handles timers with messages of "
                + $"{string.Join(" and ", twice)}, which are both stored as '{twice.Key}': give each an [Alias] of its own.");
        }
        return messages;
    }
}

/// <summary>Reads messages, and passes them to grains.</summary>
internal abstract class TimerHandler
{
    /// <summary>Reads a message.</summary>
    /// <returns>A call of the grain with it.</returns>
    /// <exception cref="Exception">The message cannot be read, whatever the format throws.</exception>
    public abstract Func<object, FiredTimer, CancellationToken, Task> Read(byte[]? value);
}

/// <inheritdoc/>
internal sealed class TimerHandler<TMessage>(OrleansMqTimerOptions options) : TimerHandler
{
    private readonly MessageFormat<TMessage> _format = new(options);

    /// <inheritdoc/>
    public override Func<object, FiredTimer, CancellationToken, Task> Read(byte[]? value)
    {
        var message = _format.Read(value);
        return (grain, timer, cancellationToken) =>
            ((IDurableTimerHandler<TMessage>)grain).HandleTimerAsync(message, timer, cancellationToken);
    }
}
