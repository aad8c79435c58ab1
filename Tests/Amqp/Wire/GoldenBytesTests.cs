using OrleansMq.Gateways.Amqp.Wire;
using OrleansMq.Gateways.Amqp.Wire.Methods;
using OrleansMq.Records;

namespace OrleansMq.Tests.Amqp.Wire;

/// <summary>Frames as pika 1.4.4 encodes them: read, and written to the same bytes.</summary>
public sealed class GoldenBytesTests
{
    private const string Properties = "FFFC0A746578742F706C61696E057574662D3800000095016E4900000001036269676C0000010000000000036E6"
        + "56749FFFFFFFD0474"
        + "657874530000000668C3A46C6C6F037965737401046E6F6E6556046C697374410000000F4900000001530000000374776F740005696E6E657246000"
        + "00012046465"
        + "657046000000080265724900000001047768656E54000000005E0D5DA506616D6F756E744402000004D203726177780000000200FF0209026331027"
        + "23105363030"
        + "3030026D31000000005E0D5DA50274310567756573740361707002636C";

    public static TheoryData<string, string, int> Methods() => new()
    {
        { "0100000000000C000A001F07FF00020000003CCE", "ConnectionTuneOk { ChannelMax = 2047, FrameMax = 131072, Heartbeat = 60 }", 0 },
        { "010001000000050014000A00CE", "ChannelOpen { }", 1 },
        { "010001000000360032000A000001710D000000290C782D6D61782D6C656E67746849000003E80D782D6D6573736167652D74746C6C000000012A05F200CE",
            "QueueDeclare { Queue = q, Passive = True, Durable = False, Exclusive = True, AutoDelete = True, NoWait = False, Arguments = "
            + "FieldTable { x-max-length: Int32 1000, x-message-ttl: Int64 5000000000 } }", 1 },
        { "010001000000320028000A0000046C6F677305746F7069631A0000001C12616C7465726E6174652D65786368616E6765530000000472657374CE",
            "ExchangeDeclare { Exchange = logs, Type = topic, Passive = False, Durable = True, AutoDelete = False, Internal = True, "
            + "NoWait = True, Arguments = FieldTable { alternate-exchange: LongString rest } }", 1 },
        { "010001000000160032001400000171046C6F677303612E230000000000CE",
            "QueueBind { Queue = q, Exchange = logs, RoutingKey = a.#, NoWait = False, Arguments = FieldTable { } }", 1 },
        { "0100010000000B003C000A00000000006401CE", "BasicQos { PrefetchSize = 0, PrefetchCount = 100, Global = True }", 1 },
        { "01000100000022003C001400000171046374616706000000100A782D7072696F7269747949FFFFFFFBCE",
            "BasicConsume { Queue = q, ConsumerTag = ctag, NoLocal = False, NoAck = True, Exclusive = True, NoWait = False, Arguments = "
            + "FieldTable { x-priority: Int32 -5 } }", 1 },
        { "01000100000010003C00280000046C6F677303612E6201CE",
            "BasicPublish { Exchange = logs, RoutingKey = a.b, Mandatory = True, Immediate = False }", 1 },
        { "0100010000001B003C003C0463746167000001000000000701046C6F677303612E62CE",
            "BasicDeliver { ConsumerTag = ctag, DeliveryTag = 1099511627783, Redelivered = True, Exchange = logs, RoutingKey = a.b }", 1 },
        { "0100010000000D003C0050000000000000020101CE", "BasicAck { DeliveryTag = 513, Multiple = True }", 1 },
        { "0100010000000D003C0078000000000000000702CE", "BasicNack { DeliveryTag = 7, Multiple = False, Requeue = True }", 1 },
        { "010001000000040055000BCE", "ConfirmSelectOk { }", 1 },
        { "0100010000000400280033CE", "ExchangeUnbindOk { }", 1 },
        { "01000000000022000A0032014017434F4E4E454354494F4E5F464F52434544202D2062796500000000CE",
            "ConnectionClose { ReplyCode = 320, ReplyText = CONNECTION_FORCED - bye, ClassId = 0, MethodId = 0 }", 0 },
        { "01000000000012000A003C0D6C6F77206F6E206D656D6F7279CE", "ConnectionBlocked { Reason = low on memory }", 0 },
    };

    [Theory]
    [MemberData(nameof(Methods))]
    public void Method_of_pika_is_read_and_written_to_the_same_bytes(string hex, string expected, int channel)
    {
        var bytes = Convert.FromHexString(hex);
        var head = FrameHead.Read(bytes);
        Assert.Equal((FrameType.Method, channel, bytes.Length - Frames.Overhead), (head.Type, (int)head.Channel, (int)head.Size));
        var method = Frames.ReadMethod(bytes.AsSpan(FrameHead.Bytes, (int)head.Size));
        Assert.Equal(expected, Describe(method));
        using var written = new PooledBuffer();
        Frames.WriteMethod(written, head.Channel, method);
        Assert.Equal(hex, Convert.ToHexString(written.WrittenSpan));
    }

    [Fact]
    public void Start_ok_of_pika_has_its_capabilities_and_response()
    {
        var bytes = Convert.FromHexString("01000000000073000A000B0000004F0770726F64756374530000000450696B610C6361706162696C6974696"
            + "5734600000"
            + "02C1C61757468656E7469636174696F6E5F6661696C7572655F636C6F736574010A62617369632E6E61636B740105504C41494E0000000C0067"
            + "7565737400677"
            + "565737405656E5F5553CE");
        var method = Assert.IsType<ConnectionStartOk>(Frames.ReadMethod(bytes.AsSpan(FrameHead.Bytes, bytes.Length - Frames.Overhead)));
        Assert.Equal("Pika", method.ClientProperties.Find("product"u8)!.Value.Text);
        var capabilities = method.ClientProperties.Find("capabilities"u8)!.Value.Table!.Value;
        Assert.Equal(["authentication_failure_close", "basic.nack"], capabilities.Entries().Select(static entry => entry.Name));
        Assert.True(capabilities.Find("basic.nack"u8)!.Value.Boolean);
        Assert.Equal(("PLAIN", "\0guest\0guest", "en_US"), (method.Mechanism, method.Response.ToString(), method.Locale));
    }

    [Fact]
    public void Properties_of_pika_are_read_field_by_field()
    {
        var bytes = Convert.FromHexString(Properties);
        ContentProperties.Check(bytes);
        var properties = new ContentProperties(bytes);
        Assert.Equal("text/plain utf-8 c1 r1 60000 m1 t1 guest app cl", string.Join(' ', properties.ContentType, properties.ContentEncoding,
            properties.CorrelationId, properties.ReplyTo, properties.Expiration, properties.MessageId, properties.Type, properties.UserId,
            properties.AppId, properties.ClusterId));
        Assert.Equal((2L, 9L, 1577934245L), ((long)properties.DeliveryMode!, (long)properties.Priority!, (long)properties.Timestamp!));
        var headers = properties.Headers!.Value;
        Assert.Equal("FieldTable { n: Int32 1, big: Int64 1099511627776, neg: Int32 -3, text: LongString hällo, yes: Boolean True, "
            + "none: Void, list: Array [Int32 1, LongString two, Boolean False], "
            + "inner: Table FieldTable { deep: Table FieldTable { er: Int32 1 } }, "
            + "when: Timestamp 1577934245, amount: Decimal (2, 1234), raw: Bytes 00FF }", Describe(headers));
        Assert.Equal(FieldValue.Of(1L << 40), headers.Find("big"u8));
        Assert.Null(headers.Find("missing"u8));
    }

    [Fact]
    public void Header_frame_of_amqplib_is_read()
    {
        var payload = Convert.FromHexString("003C00000000000000000005B000106170706C69636174696F6E2F6A736F6E0000005501"
            + "66643FF800000000000001626203017373012C01694900011170016C6C00000100"
            + "00000000036E656773FF3801614100000008620153000000017801745400000000000000"
            + "05017556036275667800000002010202");
        Assert.Equal(new ContentHead(60, 5), ContentHead.Read(payload));
        ContentProperties.Check(payload.AsSpan(ContentHead.Bytes));
        var properties = new ContentProperties(payload.AsMemory(ContentHead.Bytes));
        Assert.Equal("FieldTable { f: Double 1.5, b: Int8 3, s: Int16 300, i: Int32 70000, l: Int64 1099511627776, neg: Int16 -200, "
            + "a: Array [Int8 1, LongString x], t: Timestamp 5, u: Void, buf: Bytes 0102 }", Describe(properties.Headers!.Value));
        Assert.Equal(("application/json", (byte?)2), (properties.ContentType, properties.DeliveryMode));
    }

    [Fact]
    public void Added_header_keeps_all_other_bytes()
    {
        var properties = new ContentProperties(Convert.FromHexString(Properties));
        var added = properties.WithHeader("x-delivery-count", FieldValue.Of(3L));
        ContentProperties.Check(added.Bytes.Span);
        const string Added = "10782D64656C69766572792D636F756E746C0000000000000003";
        var expected = Properties.Replace("00000095016E", "000000AF016E", StringComparison.Ordinal)
            .Replace("00FF0209", "00FF" + Added + "0209", StringComparison.Ordinal);
        Assert.Equal(expected, Convert.ToHexString(added.Bytes.Span));
        var changed = added.WithHeader("x-delivery-count", FieldValue.Of(4L));
        Assert.Equal(expected.Replace("6C0000000000000003", "6C0000000000000004", StringComparison.Ordinal),
            Convert.ToHexString(changed.Bytes.Span));
        var taken = changed.With(changed.Headers!.Value.Without("x-delivery-count"u8));
        Assert.Equal(properties, taken);
    }

    [Fact]
    public void Properties_are_set_and_removed_at_their_places()
    {
        var few = new ContentProperties(Convert.FromHexString("1080" + "01" + "026964")); // As pika sends delivery_mode and message_id.
        ContentProperties.Check(few.Bytes.Span);
        var more = few.WithHeader("h", FieldValue.Of("v")).With(BasicProperty.Expiration, "5").With(BasicProperty.ClusterId, "c");
        ContentProperties.Check(more.Bytes.Span);
        Assert.Equal("3184" + "000000080168530000000176" + "01" + "0135" + "026964" + "0163", Convert.ToHexString(more.Bytes.Span));
        var back = more.Without(BasicProperty.Headers).Without(BasicProperty.Expiration).Without(BasicProperty.ClusterId);
        Assert.Equal(few, back);
        Assert.Equal(few, few.Without(BasicProperty.ReplyTo));
        Assert.Equal("v", ContentProperties.None.WithHeader("h", FieldValue.Of("v")).Headers!.Value.Find("h"u8)!.Value.Text);
    }

    [Fact]
    public void Content_is_divided_into_frames()
    {
        using var output = new PooledBuffer();
        Frames.WriteContent(output, 1, new BasicPublish("x", "k", false, false), Convert.FromHexString("1080" + "01" + "026964"),
            "hello world"u8, Frames.Overhead + 6);
        Assert.Equal("0100010000000B003C002800000178016B00CE" + "02000100000012003C0000000000000000000B108001026964CE"
            + "0300010000000668656C6C6F20CE" + "03000100000005776F726C64CE", Convert.ToHexString(output.WrittenSpan));
        output.Clear();
        Frames.WriteHeartbeat(output);
        Assert.Equal("08000000000000CE", Convert.ToHexString(output.WrittenSpan));
    }

    [Theory]
    [InlineData("414D515000000901", ProtocolHeaderKind.Amqp091)]
    [InlineData("414D515001010009", ProtocolHeaderKind.Amqp091)]
    [InlineData("414D515003010000", ProtocolHeaderKind.OtherAmqp)]
    [InlineData("414D515000010000", ProtocolHeaderKind.OtherAmqp)]
    [InlineData("16030100F8010000", ProtocolHeaderKind.Tls)]
    [InlineData("474554202F204854", ProtocolHeaderKind.Http)]
    [InlineData("0000001200120003", ProtocolHeaderKind.Unknown)]
    public void Protocol_header_is_recognised(string hex, object expected) =>
        Assert.Equal((ProtocolHeaderKind)expected, ProtocolHeader.Recognise(Convert.FromHexString(hex)));

    [Fact]
    public void Reply_text_is_cut_between_characters()
    {
        var text = new AmqpException(ReplyCode.NotFound, "no queue '" + new string('ä', 200) + "'").ReplyText;
        Assert.Equal("NOT_FOUND - no queue '" + new string('ä', 116), text);
        Assert.Equal("NOT_FOUND - no", new AmqpException(ReplyCode.NotFound, "no").ReplyText);
    }

    // A record's own text, with its tables entry by entry.
    private static string Describe(IMethod method)
    {
        var text = method.ToString()!;
        foreach (var property in method.GetType().GetProperties())
        {
            if (property.GetValue(method) is FieldTable table)
                text = text.Replace(table.ToString()!, Describe(table), StringComparison.Ordinal);
        }
        return text;
    }

    private static string Describe(FieldTable table)
    {
        var entries = string.Join(", ", table.Entries().Select(static entry => $"{entry.Name}: {Describe(entry.Value)}"));
        return entries.Length == 0 ? "FieldTable { }" : $"FieldTable {{ {entries} }}";
    }

    private static string Describe(FieldValue value) => value.Type + value.Type switch
    {
        FieldType.Void => "",
        FieldType.Boolean => $" {value.Boolean}",
        FieldType.LongString => $" {value.Text}",
        FieldType.Bytes => $" {Convert.ToHexString(value.Bytes!.Value.Span)}",
        FieldType.Decimal => $" {value.Decimal}",
        FieldType.Timestamp => $" {value.Timestamp}",
        FieldType.Array => $" [{string.Join(", ", value.Values!.Select(Describe))}]",
        FieldType.Table => $" {Describe(value.Table!.Value)}",
        FieldType.Single or FieldType.Double => $" {value.Number}",
        _ => $" {value.Integer}",
    };
}
