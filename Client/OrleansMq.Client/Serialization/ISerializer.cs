using System.Buffers;

namespace OrleansMq.Client;

/// <summary>Serializes keys or values. Called from all sending threads, so it must be thread-safe.</summary>
/// <typeparam name="T">The type of key or value.</typeparam>
public interface ISerializer<in T>
{
    /// <summary>
    /// Whether the value is null: a record without a key, or a tombstone. <see cref="Serialize"/> is then not called.
    /// </summary>
    bool IsNull(T value) => value is null;

    /// <summary>Appends the bytes of <paramref name="value"/> to <paramref name="destination"/>.</summary>
    /// <exception cref="Exception">Any exception rejects the record with <see cref="ErrorCode.InvalidRecord"/>; others are
    /// unaffected.</exception>
    void Serialize(T value, IBufferWriter<byte> destination);
}

/// <summary>Deserializes keys or values. Called by one reader at a time; an object that serves several readers must be
/// thread-safe.</summary>
/// <typeparam name="T">The type of key or value.</typeparam>
public interface IDeserializer<out T>
{
    /// <summary>Returns the value of <paramref name="bytes"/>, which are valid only during the call.</summary>
    /// <param name="bytes">The bytes; empty if <paramref name="isNull"/>.</param>
    /// <param name="isNull">Whether the record has no key, or is a tombstone.</param>
    /// <exception cref="Exception">Any exception reaches the reader as <see cref="DeserializationException"/> with the record's partition
    /// and offset.</exception>
    T Deserialize(ReadOnlySpan<byte> bytes, bool isNull);
}

/// <summary>Both directions of one format.</summary>
/// <typeparam name="T">The type of key or value.</typeparam>
public interface ISerde<T> : ISerializer<T>, IDeserializer<T>;

/// <summary>The type of a key (or value) that is not used: written as null, and skipped when read.</summary>
public readonly record struct Ignore;
