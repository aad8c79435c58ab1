using OrleansMq.Client;

namespace OrleansMq.Tests.Client.EndToEnd;

public sealed class SentLettersTests
{
    private readonly SentLetters _sent = new(most: 3);

    [Fact]
    public void Record_is_known_by_its_source_group_and_time()
    {
        Assert.True(_sent.TryAdd(new("orders", 1), 7, "billing", "5"));
        Assert.False(_sent.TryAdd(new("orders", 1), 7, "billing", "5"));
        Assert.True(_sent.TryAdd(new("orders", 1), 7, "mail", "5"));
        // Of a topic that was created again.
        Assert.True(_sent.TryAdd(new("orders", 1), 7, "billing", "6"));
    }

    [Fact]
    public void Only_the_latest_records_are_remembered()
    {
        for (var offset = 0; offset < 4; offset++)
            Assert.True(_sent.TryAdd(new("orders", 0), offset, null, null));
        Assert.False(_sent.TryAdd(new("orders", 0), 1, null, null));
        Assert.False(_sent.TryAdd(new("orders", 0), 3, null, null));
        Assert.True(_sent.TryAdd(new("orders", 0), 0, null, null));
        Assert.True(_sent.TryAdd(new("orders", 0), 1, null, null));
    }
}
