using System.Buffers;
using System.Collections.Concurrent;
using System.Text.Json;
using OrleansMq.Client;

namespace OrleansMq.Timers;

/// <summary>The names of message types, which are stored with timers.</summary>
internal static class MessageNames
{
    /// <summary>Returns the alias of a type, or else its full name without assemblies.</summary>
    public static string Of(Type message) => message.GetCustomAttributes(typeof(AliasAttribute), inherit: false)
        .Cast<AliasAttribute>().FirstOrDefault()?.Alias ?? message.ToString();
}

/// <summary>The formats of messages. Thread-safe.</summary>
internal sealed class MessageFormats(OrleansMqTimerOptions options)
{
    private readonly ConcurrentDictionary<Type, object> _known = [];

    /// <summary>Returns the format of a type.</summary>
    public MessageFormat<TMessage> Of<TMessage>() =>
        (MessageFormat<TMessage>)_known.GetOrAdd(typeof(TMessage), _ => new MessageFormat<TMessage>(options));
}

/// <summary>Writes and reads messages of a type.</summary>
internal sealed class MessageFormat<TMessage>(OrleansMqTimerOptions options)
{
    private readonly ISerde<TMessage>? _format = options.Formats.TryGetValue(typeof(TMessage), out var own)
        ? (ISerde<TMessage>)own : Serdes.FindBuiltIn<TMessage>();

    /// <summary>Returns a message's bytes; null for null.</summary>
    public ReadOnlyMemory<byte>? Write(TMessage message)
    {
        if (_format is null)
            return message is null ? null : JsonSerializer.SerializeToUtf8Bytes(message, options.Json);
        if (_format.IsNull(message))
            return null;
        var written = new ArrayBufferWriter<byte>();
        _format.Serialize(message, written);
        return written.WrittenMemory;
    }

    /// <summary>Reads a message.</summary>
    /// <exception cref="Exception">The message cannot be read, whatever the format throws.</exception>
    public TMessage Read(byte[]? value)
    {
        if (_format is not null)
            return _format.Deserialize(value, isNull: value is null);
        if (value is not null)
            return JsonSerializer.Deserialize<TMessage>(value, options.Json)!;
        return default(TMessage) is null ? default! : throw new JsonException("The message is null, and its type has no null.");
    }
}
