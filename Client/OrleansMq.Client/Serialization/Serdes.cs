using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization;
using System.Text.Json.Serialization.Metadata;

namespace OrleansMq.Client;

/// <summary>The built-in formats. Numbers are big-endian and text is UTF-8, as Kafka's own serializers write them.</summary>
public static class Serdes
{
    /// <summary>UTF-8; null is null.</summary>
    public static ISerde<string?> String { get; } = new Utf8Serde();
    /// <summary>Bytes as they are; null is null. Reading copies them.</summary>
    public static ISerde<byte[]?> Bytes { get; } = new BytesSerde();
    /// <summary>Bytes as they are, never null: empty memory is an empty value. Reading copies them, and reads null as empty.</summary>
    public static ISerde<ReadOnlyMemory<byte>> Memory { get; } = new MemorySerde();
    /// <summary>4 bytes, big-endian.</summary>
    public static ISerde<int> Int32 { get; } = new Int32Serde();
    /// <summary>8 bytes, big-endian.</summary>
    public static ISerde<long> Int64 { get; } = new Int64Serde();
    /// <summary>8 bytes, IEEE 754, big-endian.</summary>
    public static ISerde<double> Double { get; } = new DoubleSerde();
    /// <summary>36 characters of lower-case text with hyphens, as Kafka's UUID serializer writes.</summary>
    public static ISerde<Guid> Guid { get; } = new GuidSerde();
    /// <summary>No value: always null.</summary>
    public static ISerde<Ignore> Ignore { get; } = new IgnoreSerde();

    /// <summary>Creates a JSON format from source-generated metadata: no reflection, suitable for native AOT. Null is null, not the text
    /// <c>null</c>.</summary>
    /// <param name="type">The metadata, from a JsonSerializerContext of yours.</param>
    public static ISerde<T> Json<T>(JsonTypeInfo<T> type) => new JsonSerde<T>(type ?? throw new ArgumentNullException(nameof(type)));

    /// <summary>Creates a JSON format that uses reflection. Null is null, not the text <c>null</c>.</summary>
    /// <param name="options">Null for <see cref="JsonSerializerOptions.Web"/>: camelCase names, read case-insensitively.</param>
    [RequiresUnreferencedCode("Reads the type by reflection; with trimming pass a JsonTypeInfo instead.")]
    [RequiresDynamicCode("Reads the type by reflection; with native AOT pass a JsonTypeInfo instead.")]
    public static ISerde<T> Json<T>(JsonSerializerOptions? options = null) =>
        new JsonSerde<T>((JsonTypeInfo<T>)(options ?? JsonSerializerOptions.Web).GetTypeInfo(typeof(T)));

    /// <summary>Returns the built-in format of a type: one of the properties here.</summary>
    /// <exception cref="InvalidOperationException">The type has no built-in format: pass one, such as
    /// <see cref="Json{T}(JsonTypeInfo{T})"/>.</exception>
    public static ISerde<T> For<T>() => Find<T>([]);

    /// <summary>Returns the built-in format of a type, or else JSON by the first of <paramref name="json"/> that knows the type.</summary>
    /// <exception cref="InvalidOperationException">There is neither.</exception>
    internal static ISerde<T> Find<T>(IEnumerable<JsonSerializerContext> json)
    {
        var found = FindBuiltIn<T>();
        found ??= json.Select(static context => context.GetTypeInfo(typeof(T))).OfType<JsonTypeInfo<T>>().FirstOrDefault() is { } type
            ? Json(type) : null;
        return found ?? throw new InvalidOperationException(
            $"There is no built-in format for {typeof(T)}. Pass a serializer or deserializer, such as "
            + $"Serdes.Json(MyJsonContext.Default.{typeof(T).Name}), or register a JsonSerializerContext that has the type with "
            + "UseJson(MyJsonContext.Default) before it is needed.");
    }

    /// <summary>Returns the built-in format of a type; null if there is none.</summary>
    internal static ISerde<T>? FindBuiltIn<T>()
    {
        object? found =
            typeof(T) == typeof(string) ? String
            : typeof(T) == typeof(byte[]) ? Bytes
            : typeof(T) == typeof(ReadOnlyMemory<byte>) ? Memory
            : typeof(T) == typeof(int) ? Int32
            : typeof(T) == typeof(long) ? Int64
            : typeof(T) == typeof(double) ? Double
            : typeof(T) == typeof(Guid) ? Guid
            : typeof(T) == typeof(Ignore) ? Ignore
            : null;
        return (ISerde<T>?)found;
    }
}
