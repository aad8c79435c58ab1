using System.Text;
using OrleansMq.Gateways.Http.Lines;

namespace OrleansMq.Tests.Silo.Http;

public sealed class RecordLineParserTests
{
    [Fact]
    public void All_fields_are_read()
    {
        using var parser = new RecordLineParser(isBase64: false);
        Assert.Null(
            parser.Parse("""{"key":"k\u00e9","value":"a\"b\\c\n€","partition":3,"headers":{"h":"x","n":null,"h":""},"timestamp":12}"""u8));
        Assert.Equal("ké", Encoding.UTF8.GetString(parser.Key));
        Assert.Equal("a\"b\\c\n€", Encoding.UTF8.GetString(parser.Value));
        Assert.Equal((3, 12L), (parser.Partition, parser.Timestamp));
        Assert.Equal(["h=x", "n=null", "h="], parser.Headers.ToArray().Select(h =>
            $"{Encoding.UTF8.GetString(h.Key.Span)}={(h.Value is { } v ? Encoding.UTF8.GetString(v.Span) : "null")}"));
    }

    [Fact]
    public void Null_is_not_empty_and_lines_do_not_leak_into_each_other()
    {
        using var parser = new RecordLineParser(isBase64: false);
        Assert.Null(parser.Parse("""{"key":"","value":"","partition":1,"headers":{"h":"x"},"timestamp":1}"""u8));
        Assert.True(parser.HasKey && parser.HasValue);
        Assert.Null(parser.Parse("""{"value":null,"key":null,"partition":null,"headers":null,"timestamp":null}"""u8));
        Assert.False(parser.HasKey || parser.HasValue);
        Assert.Equal((null, null, 0), (parser.Partition, parser.Timestamp, parser.Headers.Length));
    }

    [Fact]
    public void Record_that_need_not_survive_a_power_cut_says_so_in_a_header()
    {
        using var parser = new RecordLineParser(isBase64: true);
        Assert.Null(parser.Parse("""{"persistent":false,"value":"","headers":{"h":"gA=="}}"""u8));
        Assert.False(parser.IsPersistent);
        Assert.Equal(["h", "omq.persistent"], parser.Headers.ToArray().Select(h => Encoding.UTF8.GetString(h.Key.Span)));
        Assert.Equal("false"u8, parser.Headers[1].Value!.Value.Span);
        Assert.Null(parser.Parse("""{"value":""}"""u8));
        Assert.Equal((true, 0), (parser.IsPersistent, parser.Headers.Length));
    }

    [Fact]
    public void Memory_of_a_long_line_is_given_back_and_the_next_line_is_read()
    {
        using var parser = new RecordLineParser(isBase64: false);
        var headers = string.Join(',', Enumerable.Range(0, 5_000).Select(static number => $"\"{number}\":\"x\""));
        Assert.Null(parser.Parse(Encoding.UTF8.GetBytes("{\"value\":\"a\",\"headers\":{" + headers + "}}")));
        Assert.Equal((5_000, true), (parser.Headers.Length, parser.HasValue));
        parser.Trim(1_000);
        Assert.Equal((0, false), (parser.Headers.Length, parser.HasValue));
        Assert.Null(parser.Parse("""{"value":"b"}"""u8));
        Assert.Equal("b", Encoding.UTF8.GetString(parser.Value));
    }

    [Fact]
    public void Base64_is_decoded_for_keys_values_and_header_values()
    {
        using var parser = new RecordLineParser(isBase64: true);
        Assert.Null(parser.Parse("""{"key":"AP8=","value":"\/w==","headers":{"name":"gA=="}}"""u8));
        Assert.Equal([0, 255], parser.Key.ToArray());
        Assert.Equal([255], parser.Value.ToArray());
        Assert.Equal("name", Encoding.UTF8.GetString(parser.Headers[0].Key.Span));
        Assert.Equal([128], parser.Headers[0].Value!.Value.ToArray());
    }

    [Theory]
    [InlineData("""{"value":1}""", "value")]
    [InlineData("""{"value":{"a":1}}""", "value")]
    [InlineData("""{"key":true,"value":""}""", "key")]
    [InlineData("""{"key":"k"}""", "value")]
    [InlineData("""{"value":"","partition":-1}""", "partition")]
    [InlineData("""{"value":"","partition":"0"}""", "partition")]
    [InlineData("""{"value":"","partition":2147483648}""", "partition")]
    [InlineData("""{"value":"","timestamp":-1}""", "timestamp")]
    [InlineData("""{"value":"","timestamp":1.5}""", "timestamp")]
    [InlineData("""{"value":"","headers":[]}""", "headers")]
    [InlineData("""{"value":"","headers":{"a":1}}""", "headers")]
    [InlineData("""{"value":"\ud800"}""", "value")]
    [InlineData("""{"value":"","val":1}""", "val")]
    [InlineData("""{"value":"","persistent":0}""", "persistent")]
    [InlineData("""{"value":"","persistent":"false"}""", "persistent")]
    [InlineData("""{"value":"","persistent":false,"persistent":true}""", "persistent")]
    [InlineData("""{"value":"a","value":"b"}""", "value")]
    [InlineData("""{"value":null,"value":null}""", "value")]
    [InlineData("""{"key":null,"value":"","key":"k"}""", "key")]
    [InlineData("""{"value":"","partition":0,"partition":1}""", "partition")]
    [InlineData("""{"value":"","timestamp":null,"timestamp":1}""", "timestamp")]
    [InlineData("""{"value":"","headers":{},"headers":{"a":"b"}}""", "headers")]
    [InlineData("[]", null)]
    [InlineData("1", null)]
    [InlineData("{", null)]
    [InlineData("""{"value":""}}""", null)]
    [InlineData("""{"value":""} {"value":""}""", null)]
    public void Invalid_line_is_refused_by_its_field(string line, string? field)
    {
        using var parser = new RecordLineParser(isBase64: false);
        Assert.Equal(field, Assert.IsType<LineFault>(parser.Parse(Encoding.UTF8.GetBytes(line))).Field);
    }

    [Fact]
    public void Non_text_bytes_are_refused_with_a_remedy()
    {
        using var parser = new RecordLineParser(isBase64: false);
        var fault = parser.Parse([.. "{\"value\":\""u8, 0xff, .. "\"}"u8]);
        Assert.Contains("encoding=base64", fault!.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void Invalid_base64_is_refused_by_its_field()
    {
        using var parser = new RecordLineParser(isBase64: true);
        Assert.Equal("key", parser.Parse("""{"key":"*","value":""}"""u8)!.Field);
    }
}
