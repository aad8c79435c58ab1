using System.Text.Json;
using OrleansMq.Client;

namespace OrleansMq.Consumers;

/// <summary>Reads values, and passes them to grains.</summary>
internal abstract class ValueReader
{
    /// <summary>Returns the reader of a type.</summary>
    public static ValueReader Of(Type value, OrleansMqConsumerOptions options) =>
        (ValueReader)Activator.CreateInstance(typeof(ValueReader<>).MakeGenericType(value), options)!;

    /// <summary>Reads a value.</summary>
    /// <returns>A call of the grain with it.</returns>
    /// <exception cref="Exception">The value cannot be read, whatever the format throws.</exception>
    public abstract Func<object, ConsumedRecord, CancellationToken, Task> Read(byte[]? value);
}

/// <inheritdoc/>
internal sealed class ValueReader<TValue>(OrleansMqConsumerOptions options) : ValueReader
{
    private readonly IDeserializer<TValue>? _format = options.Formats.TryGetValue(typeof(TValue), out var own)
        ? (IDeserializer<TValue>)own : Serdes.FindBuiltIn<TValue>();

    /// <inheritdoc/>
    public override Func<object, ConsumedRecord, CancellationToken, Task> Read(byte[]? value)
    {
        var item = ValueOf(value);
        return (grain, record, cancellationToken) => ((IGrainConsumer<TValue>)grain).ConsumeAsync(item, record, cancellationToken);
    }

    private TValue ValueOf(byte[]? value)
    {
        if (_format is not null)
            return _format.Deserialize(value, isNull: value is null);
        if (value is not null)
            return JsonSerializer.Deserialize<TValue>(value, options.Json)!;
        return default(TValue) is null ? default! : throw new JsonException("A tombstone has no value, and the type has no null.");
    }
}
