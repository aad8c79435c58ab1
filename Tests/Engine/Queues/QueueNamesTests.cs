using OrleansMq.Api;
using OrleansMq.Queues;
using OrleansMq.Tests.Engine.Partitions;

namespace OrleansMq.Tests.Engine.Queues;

/// <summary>Queues beside the cursors of others, as those of share groups.</summary>
public sealed class QueueNamesTests
{
    [Fact]
    public async Task Cursor_of_another_kind_is_no_queue_by_any_name()
    {
        await using var rig = await PartitionRig.StartAsync();
        await rig.BeginCursorAsync(new CursorConfiguration { Name = "share/g" });
        var queues = rig.Partition.Cursors.Queues;
        var created = await queues.CreateAsync(new NewQueue("share/g"), default);
        Assert.Equal("share/g", created.Name);
        Assert.NotEqual(created.Id, rig.StateOf("share/g").Incarnation);
        Assert.Equal(["share/g"], (await queues.ListAsync(default)).Select(queue => queue.Name));
        await queues.DeleteAsync("share/g", id: null, default);
        Assert.Empty(await queues.ListAsync(default));
        var gone = await Assert.ThrowsAsync<BrokerException>(() => queues.AttachAsync("share/g", new QueueAttachOptions(), default));
        Assert.Equal(ErrorCode.GroupIdNotFound, gone.Code);
        Assert.Equal(0, rig.StateOf("share/g").Floor);
    }

    [Fact]
    public async Task Name_that_is_no_text_is_refused()
    {
        await using var rig = await PartitionRig.StartAsync();
        var queues = rig.Partition.Cursors.Queues;
        foreach (var name in (string[])["\ud83d", "a\udc00b"])
        {
            var refused = await Assert.ThrowsAsync<BrokerException>(() => queues.CreateAsync(new NewQueue(name), default));
            Assert.Equal(ErrorCode.InvalidRequest, refused.Code);
        }
        Assert.Equal("\ud83d\ude00", (await queues.CreateAsync(new NewQueue("\ud83d\ude00"), default)).Name);
    }
}
