using System.Buffers;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using OrleansMq.Client;

namespace OrleansMq.Tests.Client.Serialization;

public partial class SerdesTests
{
    private static byte[] Bytes<T>(ISerializer<T> serializer, T value)
    {
        var writer = new ArrayBufferWriter<byte>();
        serializer.Serialize(value, writer);
        return writer.WrittenSpan.ToArray();
    }

    [Fact]
    public void Numbers_and_uuids_have_the_bytes_of_Kafkas_serializers()
    {
        Assert.Equal([0, 0, 1, 2], Bytes(Serdes.Int32, 258));
        Assert.Equal([0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFE], Bytes(Serdes.Int64, -2));
        Assert.Equal([0x3F, 0xF0, 0, 0, 0, 0, 0, 0], Bytes(Serdes.Double, 1.0));
        Assert.Equal("0f8fad5b-d9cb-469f-a165-70867728950e"u8, Bytes(Serdes.Guid, Guid.Parse("0F8FAD5B-D9CB-469F-A165-70867728950E")));
        Assert.Equal([0xC3, 0xA9], Bytes(Serdes.String, "é"));
    }

    [Fact]
    public void Values_round_trip()
    {
        RoundTrip(Serdes.Int32, int.MinValue);
        RoundTrip(Serdes.Int64, long.MaxValue);
        RoundTrip(Serdes.Double, Math.PI);
        RoundTrip(Serdes.Guid, Guid.NewGuid());
        RoundTrip(Serdes.String, "smörgåsbord 🍎");
        RoundTrip(Serdes.String, "");
        Assert.Equal([1, 2], Serdes.Bytes.Deserialize(Bytes(Serdes.Bytes, [1, 2]), false));
        Assert.Equal([1, 2], Serdes.Memory.Deserialize(Bytes(Serdes.Memory, new byte[] { 1, 2 }), false).ToArray());
    }

    [Fact]
    public void Null_is_distinct_from_empty()
    {
        Assert.True(Serdes.String.IsNull(null));
        Assert.False(Serdes.String.IsNull(""));
        Assert.Null(Serdes.String.Deserialize(default, true));
        Assert.Equal("", Serdes.String.Deserialize(default, false));
        Assert.Null(Serdes.Bytes.Deserialize(default, true));
        Assert.Empty(Serdes.Bytes.Deserialize(default, false)!);
        Assert.True(((ISerializer<Ignore>)Serdes.Ignore).IsNull(default));
        Assert.False(Serdes.Int64.IsNull(0));
    }

    [Fact]
    public void Bytes_that_do_not_encode_the_type_are_refused()
    {
        Assert.Contains("4 bytes", Assert.Throws<FormatException>(() => Serdes.Int32.Deserialize([1, 2, 3], false)).Message,
            StringComparison.Ordinal);
        Assert.Throws<FormatException>(() => Serdes.Int64.Deserialize(default, true));
        Assert.Throws<FormatException>(() => Serdes.Guid.Deserialize("not a uuid"u8, false));
        Assert.Throws<JsonException>(() => Serdes.Json(SerdesJson.Default.Point).Deserialize("{"u8, false));
    }

    [Fact]
    public void JSON_uses_the_given_metadata_or_options()
    {
        Assert.Equal("""{"x":1,"name":"é"}""",
            Encoding.UTF8.GetString(Bytes(Serdes.Json(new JsonSerializerOptions(JsonSerializerDefaults.Web)
        {
            Encoder = System.Text.Encodings.Web.JavaScriptEncoder.UnsafeRelaxedJsonEscaping,
            TypeInfoResolver = SerdesJson.Default,
        }.GetTypeInfo(typeof(Point)) as System.Text.Json.Serialization.Metadata.JsonTypeInfo<Point>
        ?? throw new InvalidOperationException()), new Point(1, "é"))));
        Assert.Equal("""{"X":1,"Name":"a"}""", Encoding.UTF8.GetString(Bytes(Serdes.Json(SerdesJson.Default.Point), new Point(1, "a"))));
        var reflected = Serdes.Json<Point>();
        Assert.Equal("""{"x":2,"name":"b"}""", Encoding.UTF8.GetString(Bytes(reflected, new Point(2, "b"))));
        Assert.Equal(new Point(3, "c"), reflected.Deserialize("""{"X":3,"name":"c"}"""u8, false));
        Assert.Null(Serdes.Json(SerdesJson.Default.Point).Deserialize(default, true));
    }

    [Fact]
    public void Type_without_serializer_is_refused_with_a_remedy()
    {
        Assert.Same(Serdes.Int64, Serdes.For<long>());
        Assert.Contains("Serdes.Json", Assert.Throws<InvalidOperationException>(Serdes.For<Point>).Message, StringComparison.Ordinal);
    }

    private static void RoundTrip<T>(ISerde<T> serde, T value) => Assert.Equal(value, serde.Deserialize(Bytes(serde, value), false));

    public sealed record Point(int X, string Name);

    [JsonSerializable(typeof(Point))]
    internal sealed partial class SerdesJson : JsonSerializerContext;
}
