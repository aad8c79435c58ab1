using System.Buffers;
using System.Text.Json;
using OrleansMq.Gateways.Amqp.Management.Peers;

namespace OrleansMq.Tests.Amqp.Management;

/// <summary>What has room in a page of a list.</summary>
public sealed class PageItemsTests
{
    [Fact]
    public void Item_that_is_larger_than_a_page_has_one_to_itself()
    {
        Assert.Equal([true, false], Add(10, PeerPage.Bytes));
        Assert.Equal([true, false], Add(PeerPage.Bytes, 10));
    }

    [Fact]
    public void Page_has_what_its_budget_has_room_for() =>
        Assert.Equal([true, true, true, false, true], Add(10, PeerPage.Bytes / 3, PeerPage.Bytes / 3, PeerPage.Bytes / 2, 10));

    // Whether items of so many characters are added to one page.
    private static List<bool> Add(params int[] lengths)
    {
        using var writer = new Utf8JsonWriter(new ArrayBufferWriter<byte>());
        using var items = new PageItems(writer, default);
        writer.WriteStartArray();
        return [.. lengths.Select(length => items.TryAdd(item => item.WriteStringValue(new string('x', length))))];
    }
}
