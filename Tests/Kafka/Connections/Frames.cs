using System.Buffers.Binary;
using OrleansMq.Tests.Kafka.Codec;
using OrleansMq.Tests.Kafka.Schemas;

namespace OrleansMq.Tests.Kafka.Connections;

/// <summary>Builds requests from their fields.</summary>
internal static class Frames
{
    /// <summary>Builds a request with the sample's values, except for those given by field name.</summary>
    public static byte[] Of(short key, short version, int correlationId, params (string Field, object? Value)[] values) =>
        new MessageEncoder(new Values(key, version, values.ToDictionary(static value => value.Field, static value => value.Value)))
            .Request(Schema.Request(key), version, correlationId, "test");

    /// <summary>Returns the correlation id of an answer.</summary>
    public static int CorrelationId(byte[] response) => BinaryPrimitives.ReadInt32BigEndian(response);

    private sealed class Values(short key, short version, Dictionary<string, object?> given) : IFieldValues
    {
        private readonly SampleValues _sample = new(key, version, Guid.Empty);

        public int Length(Field field, bool mayBeNull) =>
            given.TryGetValue(field.Name, out var value) && value is int count && field.IsArray
                ? count : _sample.Length(field, mayBeNull);

        public bool IsNull(Field field) => _sample.IsNull(field);

        public object? Value(Field field, bool mayBeNull) =>
            given.TryGetValue(field.Name, out var value) && !(field.IsArray && value is int)
                ? value : _sample.Value(field, mayBeNull);
    }
}
