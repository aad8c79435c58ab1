using System.Buffers;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Orleans.Serialization;
using OrleansMq.Client;

namespace OrleansMq.Streams;

/// <summary>The format of a provider's events. Derive from it for another one. Thread-safe.</summary>
public abstract class StreamFormat
{
    /// <summary>
    /// The formats of the .NET client, so that Kafka clients, HTTP and .NET services read and write the same events: text is UTF-8, bytes
    /// are as they are, numbers are big-endian (<see cref="Serdes"/>), and every other type is JSON. Null is a tombstone.
    /// </summary>
    /// <param name="options">Null for <see cref="JsonSerializerOptions.Web"/>: camelCase names, read case-insensitively.</param>
    public static StreamFormat Json(JsonSerializerOptions? options = null) => new JsonFormat(options ?? JsonSerializerOptions.Web);

    /// <summary>Orleans' serializer: every type that a grain can be called with, for streams that only Orleans reads and writes.</summary>
    public static StreamFormat Orleans { get; } = new OrleansFormat();

    /// <summary>Writes an event.</summary>
    /// <param name="item">The event.</param>
    /// <param name="services">The silo's or the client's services.</param>
    /// <returns>The record's value; null for a tombstone.</returns>
    public abstract byte[]? Serialize<T>(T item, IServiceProvider services);

    /// <summary>Reads an event. Any exception dead-letters the event at once, with the exception's message.</summary>
    /// <param name="value">The record's value; null for a tombstone.</param>
    /// <param name="services">The silo's services.</param>
    public abstract T Deserialize<T>(byte[]? value, IServiceProvider services);

    private sealed class JsonFormat(JsonSerializerOptions options) : StreamFormat
    {
        public override byte[]? Serialize<T>(T item, IServiceProvider services)
        {
            if (item is null)
                return null;
            if (BuiltIn<T>.Serde is not { } serde)
                return JsonSerializer.SerializeToUtf8Bytes(item, options);
            if (item is byte[] bytes)
                return bytes;
            var buffer = new ArrayBufferWriter<byte>();
            serde.Serialize(item, buffer);
            return buffer.WrittenSpan.ToArray();
        }

        public override T Deserialize<T>(byte[]? value, IServiceProvider services) =>
            BuiltIn<T>.Serde is { } serde ? serde.Deserialize(value, isNull: value is null)
            : value is null ? default!
            : JsonSerializer.Deserialize<T>(value, options)!;
    }

    private sealed class OrleansFormat : StreamFormat
    {
        public override byte[]? Serialize<T>(T item, IServiceProvider services) =>
            item is null ? null : services.GetRequiredService<Serializer>().SerializeToArray(item);

        public override T Deserialize<T>(byte[]? value, IServiceProvider services) =>
            value is null ? default! : services.GetRequiredService<Serializer>().Deserialize<T>(value)!;
    }

    private static class BuiltIn<T>
    {
        public static readonly ISerde<T>? Serde = Serdes.FindBuiltIn<T>();
    }
}
