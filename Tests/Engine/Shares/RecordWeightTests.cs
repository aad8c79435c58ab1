using OrleansMq.Shares;

namespace OrleansMq.Tests.Engine.Shares;

/// <summary>How many records are acquired for bytes, and how many bytes are read for records.</summary>
public sealed class RecordWeightTests
{
    [Fact]
    public void Default_fetch_acquires_all_that_it_asks_for()
    {
        var weight = new RecordWeight();
        Assert.Equal(500, weight.Fitting(50 << 20, 500));
        Assert.Equal(10, weight.Fitting(1 << 20, 500));
        weight.Learn(16_000, 150);
        Assert.Equal(500, weight.Fitting(1 << 20, 500));
        Assert.Equal(10, weight.Fitting(1_060, 500));
        Assert.Equal(1, weight.Fitting(1, 500));
    }

    [Fact]
    public void Read_is_little_more_than_its_records()
    {
        var weight = new RecordWeight();
        weight.Learn(16_000, 160);
        Assert.InRange(weight.BytesOf(500), 50_000, 70_000);
    }

    [Fact]
    public void Larger_records_count_at_once_and_smaller_ones_by_and_by()
    {
        var weight = new RecordWeight();
        weight.Learn(1_000, 10);
        weight.Learn(100_000, 10);
        Assert.Equal(1, weight.Fitting(10_000, 500));
        weight.Learn(1_000, 10);
        Assert.Equal(1, weight.Fitting(10_000, 500));
        for (var read = 0; read < 10; read++)
            weight.Learn(1_000, 10);
        Assert.InRange(weight.Fitting(10_000, 500), 90, 100);
        // A control batch tells nothing.
        weight.Learn(80, 0);
        Assert.InRange(weight.Fitting(10_000, 500), 90, 100);
    }
}
