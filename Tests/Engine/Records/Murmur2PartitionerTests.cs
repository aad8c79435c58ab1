using System.Text;
using OrleansMq.Partitioning;

namespace OrleansMq.Tests.Engine.Records;

public class Murmur2PartitionerTests
{
    [Theory]
    [InlineData("21", -973932308)]
    [InlineData("foobar", -790332482)]
    [InlineData("a-little-bit-long-string", -985981536)]
    [InlineData("a-little-bit-longer-string", -1486304829)]
    [InlineData("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971)]
    [InlineData("abc", 479470107)]
    public void Hash_equals_that_of_Kafkas_clients(string key, int expected) =>
        Assert.Equal(expected, Murmur2Partitioner.Hash(Encoding.UTF8.GetBytes(key)));

    [Theory]
    [InlineData("21", 7)]
    [InlineData("foobar", 1)]
    [InlineData("", 10_000)]
    public void Partition_is_the_positive_hash_modulo_the_count(string key, int partitions)
    {
        var bytes = Encoding.UTF8.GetBytes(key);
        var expected = (int)((Murmur2Partitioner.Hash(bytes) & 0x7FFFFFFFL) % partitions);
        Assert.Equal(expected, Murmur2Partitioner.ForKey(bytes, partitions));
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    public void Partition_count_below_one_is_refused(int partitions) =>
        Assert.Throws<ArgumentOutOfRangeException>(() => Murmur2Partitioner.ForKey([], partitions));
}
