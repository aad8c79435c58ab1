using System.Text;
using OrleansMq.Filters;

namespace OrleansMq.Tests.Engine.Filters;

public sealed class SqlFilterPropertyTests
{
    private const int Expressions = 3_000;
    private const int RecordsEach = 8;

    [Fact]
    public void Random_expressions_match_what_the_reference_says()
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        var matched = 0;
        for (var i = 0; i < Expressions; i++)
        {
            var reference = ReferenceFilter.Create(random, random.Next(5));
            var filter = SqlFilter.Parse(reference.Text);
            var printed = filter.ToString();
            var again = SqlFilter.Parse(printed);
            Assert.True(again.ToString() == printed, $"{Seeds.Replay(seed)}\n{reference.Text}\n{printed}\n{again}");
            for (var j = 0; j < RecordsEach; j++)
            {
                var headers = ReferenceFilter.Headers(random);
                var record = FilterRig.RecordOf([.. headers.Select(header => (header.Key, (string?)header.Value))]);
                var expected = reference.Evaluate(headers) == true;
                Assert.True(filter.Matches(record) == expected && again.Matches(record) == expected,
                    $"{Seeds.Replay(seed)}\n{reference.Text}\nexpected {expected}: {string.Join("; ", headers)}");
                matched += expected ? 1 : 0;
            }
        }
        Assert.InRange(matched, Expressions * RecordsEach / 10, Expressions * RecordsEach * 9 / 10);
    }

    [Fact]
    public void Parser_refuses_or_accepts_any_text()
    {
        var seed = Seeds.Next();
        var random = new Random(seed);
        var record = FilterRig.RecordOf(("n", "1"), ("t", "text"));
        var accepted = 0;
        for (var i = 0; i < 20_000; i++)
        {
            var text = Mutated(random, ReferenceFilter.Create(random, random.Next(4)).Text);
            try
            {
                var filter = SqlFilter.Parse(text);
                filter.Matches(record);
                var printed = filter.ToString();
                Assert.Equal(printed, SqlFilter.Parse(printed).ToString());
                accepted++;
            }
            catch (FilterSyntaxException refused)
            {
                Assert.True(refused.Column >= 1 && refused.Column <= text.Length + 1, $"{Seeds.Replay(seed)}\n{text}\n{refused.Message}");
            }
            catch (Exception exception)
            {
                throw new Xunit.Sdk.XunitException($"{Seeds.Replay(seed)}\n{text}\n{exception}", exception);
            }
        }
        Assert.InRange(accepted, 1_000, 19_000);
    }

    // A few characters are removed, doubled, exchanged or inserted.
    private static string Mutated(Random random, string text)
    {
        const string Inserted = "'\"()<>=,+-*/.%_ !|\0\n\t0129eEnNoOtTlL\ud83d\ude00ß";
        var mutated = new StringBuilder(text);
        for (var left = random.Next(4); left > 0 && mutated.Length > 0; left--)
        {
            var at = random.Next(mutated.Length);
            switch (random.Next(4))
            {
                case 0:
                    mutated.Remove(at, 1);
                    break;
                case 1:
                    mutated.Insert(at, mutated.ToString(at, Math.Min(random.Next(1, 9), mutated.Length - at)));
                    break;
                case 2:
                    mutated[at] = Inserted[random.Next(Inserted.Length)];
                    break;
                default:
                    mutated.Insert(at, Inserted[random.Next(Inserted.Length)]);
                    break;
            }
        }
        return mutated.ToString();
    }
}
