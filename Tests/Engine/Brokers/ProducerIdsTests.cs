using OrleansMq.Api;
using OrleansMq.Brokers;
using OrleansMq.State;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Brokers;

public sealed class ProducerIdsTests
{
    private static MemoryFileSystem Empty()
    {
        var files = new MemoryFileSystem();
        files.CreateDirectory("/data");
        files.FlushDirectory("/");
        return files;
    }

    private static ProducerIds Open(IFileSystem files) => new(FileStateStore.Open(files, "/data/state"));

    [Fact]
    public async Task Ids_start_at_zero_with_epoch_zero_and_never_repeat()
    {
        var ids = Open(Empty());
        Assert.Equal(new ProducerIdentity(0, 0), await ids.NextAsync(default));
        var taken = await Task.WhenAll(Enumerable.Range(0, 2500).Select(_ => ids.NextAsync(default).AsTask()));
        Assert.Equal(Enumerable.Range(1, 2500).Select(id => (long)id), taken.Select(identity => identity.ProducerId).Order());
    }

    [Fact]
    public async Task Block_of_ids_costs_one_write()
    {
        var files = Empty();
        var ids = Open(files);
        for (var i = 0; i < 1000; i++)
            await ids.NextAsync(default);
        Assert.Equal(1, files.Traffic.Sum(file => file.Value.Flushes));
        await ids.NextAsync(default);
        Assert.Equal(2, files.Traffic.Sum(file => file.Value.Flushes));
    }

    [Fact]
    public async Task Ids_never_repeat_after_a_power_cut_at_any_time()
    {
        for (var seed = 0; seed < 50; seed++)
        {
            var files = Empty();
            var highest = -1L;
            for (var life = 0; life < 3; life++)
            {
                var ids = Open(files);
                for (var i = 0; i < 700; i++)
                {
                    var id = (await ids.NextAsync(default)).ProducerId;
                    Assert.True(id > highest, $"seed {seed}: {id} after {highest}");
                    highest = id;
                }
                files = files.PowerCut(new Random(seed * 10 + life));
            }
        }
    }

    [Fact]
    public async Task Ids_continue_without_repeating_after_a_failed_write()
    {
        var files = Empty();
        var ids = Open(files);
        files.Capacity = 10;
        await Assert.ThrowsAsync<DiskFullException>(async () => await ids.NextAsync(default));
        files.Capacity = long.MaxValue;
        Assert.Equal(0, (await ids.NextAsync(default)).ProducerId);
    }
}
