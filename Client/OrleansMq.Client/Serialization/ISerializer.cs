using System.Buffers;

namespace OrleansMq.Client;

/// <summary>Turns keys or values into bytes. Called from all threads that send: thread safe.</summary>
/// <typeparam name="T">The type of key or value.</typeparam>
public interface ISerializer<in T>
{
    /// <summary>
    /// Whether there is nothing to write: a record without a key, or a tombstone. <see cref="Serialize"/> is then not called.
    /// </summary>
    bool IsNull(T value) => value is null;

    /// <summary>Writes the bytes of <paramref name="value"/> onto the end of <paramref name="destination"/>.</summary>
    /// <exception cref="Exception">Any: the record is refused with <see cref="ErrorCode.InvalidRecord"/>, and others go on.</exception>
    void Serialize(T value, IBufferWriter<byte> destination);
}

/// <summary>Turns bytes into keys or values. Called by one reader at a time, but one object may serve several: thread safe.</summary>
/// <typeparam name="T">The type of key or value.</typeparam>
public interface IDeserializer<out T>
{
    /// <summary>The value behind <paramref name="bytes"/>, which are valid only during the call.</summary>
    /// <param name="bytes">Empty where <paramref name="isNull"/>.</param>
    /// <param name="isNull">Whether the record has no key, or is a tombstone.</param>
    /// <exception cref="Exception">Any: reaches the reader as <see cref="DeserializationException"/> with the record's
    /// coordinates.</exception>
    T Deserialize(ReadOnlySpan<byte> bytes, bool isNull);
}

/// <summary>Both directions of one format.</summary>
/// <typeparam name="T">The type of key or value.</typeparam>
public interface ISerde<T> : ISerializer<T>, IDeserializer<T>;

/// <summary>The type of a key (or value) that is never there: written as null, and skipped when read.</summary>
public readonly record struct Ignore;
