using System.Text;
using OrleansMq.Log;
using OrleansMq.Storage;

namespace OrleansMq.Tests.Engine.Log;

/// <summary>How far a log is compacted, and what a restart knows of it.</summary>
public sealed class CompactionProgressTests
{
    private const string Directory = "/p";
    private readonly MemoryFileSystem _files = new();

    public CompactionProgressTests() => _files.CreateDirectory(Directory);

    [Fact]
    public void End_of_a_pass_is_stored_before_its_segments_are_replaced()
    {
        var progress = Open();
        Assert.Equal((false, -1L, 0L), (progress.Exists, progress.FirstDirtyOffset, progress.EndOffset));
        progress.Begin(10, 50);
        Assert.Equal((true, 10L, 50L), (Open().Exists, Open().FirstDirtyOffset, Open().EndOffset));
        progress.Complete(50);
        Assert.Equal((50L, 50L), (Open().FirstDirtyOffset, Open().EndOffset));
    }

    [Fact]
    public void Cut_lowers_what_is_clean_and_what_is_compacted()
    {
        var progress = Open();
        progress.CutTo(3);
        Assert.False(progress.Exists);
        progress.Begin(10, 50);
        progress.CutTo(60);
        Assert.Equal((10L, 50L), (progress.FirstDirtyOffset, progress.EndOffset));
        progress.CutTo(30);
        Assert.Equal((10L, 30L), (Open().FirstDirtyOffset, Open().EndOffset));
        progress.CutTo(5);
        Assert.Equal((5L, 5L), (Open().FirstDirtyOffset, Open().EndOffset));
    }

    [Theory]
    [InlineData("")]
    [InlineData("1\n10\n")]
    [InlineData("1\nx\n20\n")]
    [InlineData("1\n10\n-7\n")]
    [InlineData("2\n10\n20\n")]
    [InlineData("2\n10\n20\nx\n")]
    [InlineData("3\n10\n20\n5\n")]
    public void Damaged_file_means_that_anything_below_the_high_watermark_may_have_been_removed(string text)
    {
        AtomicFile.Write(_files, $"{Directory}/{CompactionCheckpoint.FileName}", Encoding.ASCII.GetBytes(text));
        var progress = Open();
        Assert.False(progress.Opened(70, highWatermark: 40));
        Assert.Equal((true, -1L, 40L, 70L), (progress.Exists, progress.FirstDirtyOffset, progress.EndOffset, progress.ErasedEnd));
        // Stored: the next restart has a higher one.
        progress = Open();
        Assert.True(progress.Opened(90, highWatermark: 80));
        Assert.Equal((-1L, 40L, 70L), (progress.FirstDirtyOffset, progress.EndOffset, progress.ErasedEnd));
    }

    [Fact]
    public void Damaged_file_of_a_log_that_lost_its_end_means_that_anything_may_have_been_removed()
    {
        AtomicFile.Write(_files, $"{Directory}/{CompactionCheckpoint.FileName}", [1]);
        var progress = Open();
        progress.Opened(70, highWatermark: 100);
        Assert.Equal((70L, 70L), (progress.EndOffset, progress.ErasedEnd));
    }

    [Theory]
    [InlineData("0\n10\n", 10)]
    [InlineData("1\n10\n20\n", 20)]
    public void File_of_an_earlier_version_does_not_say_what_was_erased(string text, long end)
    {
        AtomicFile.Write(_files, $"{Directory}/{CompactionCheckpoint.FileName}", Encoding.ASCII.GetBytes(text));
        var progress = Open();
        Assert.Equal((10L, end), (progress.FirstDirtyOffset, progress.EndOffset));
        Assert.True(progress.Opened(70, highWatermark: 5));
        Assert.Equal((10L, end, 70L), (progress.FirstDirtyOffset, progress.EndOffset, progress.ErasedEnd));
    }

    [Fact]
    public void What_was_erased_is_remembered_until_the_log_is_cut_below()
    {
        var progress = Open();
        progress.Erase(20);
        progress.Erase(10);
        Assert.Equal((true, -1L, 20L), (Open().Exists, Open().FirstDirtyOffset, Open().ErasedEnd));
        progress.Begin(0, 50);
        progress.Complete(50);
        progress.Opened(15, highWatermark: 15);
        progress.CutTo(30);
        Assert.Equal(20, Open().ErasedEnd);
        progress.CutTo(5);
        Assert.Equal(5, Open().ErasedEnd);
    }

    private CompactionProgress Open()
    {
        var progress = new CompactionProgress(_files, Directory);
        progress.Load();
        return progress;
    }
}
