#include "head/linear_fit.h"

#include "core/progress.h"
#include "head/linear_selection.h"

namespace coala {
namespace {

constexpr double kSelectionShare = 0.7;       ///< of the time, for the fits on folds
constexpr std::size_t kPreconditioner = 128;  ///< directions of a preconditioner for many columns

}  // namespace

LinearFit fit_linear(const TrainingRows& rows, const Look* look, int folds, SelectionRule rule,
                     const Deadline& deadline, ThreadPool& pool, SelectionCost& cost) {
  const TrainingRows& first = look != nullptr ? look->rows : rows;
  const Deadline selected = deadline.share(kSelectionShare);
  LinearFit fit;
  {
    const Progress progress("linear model, second moments");
    fit.moments = row_moments(first.design(), first.targets().weights, pool);
  }
  cost.flops += fit.moments.flops;
  const PathSearch search = look != nullptr && !look->has_all_rows() ? PathSearch::Coarse : PathSearch::Close;
  fit.selected = select_linear(first, fit.moments, folds, rule, search, selected, pool, fit.path, cost);
  std::optional<MomentSpectrum> lifted;
  if (look != nullptr) {
    lifted = look->lift(fit.moments, kPreconditioner);
    fit.at_first_look = fit.selected;
    fit.selected =
        settle_linear(look->lift(*fit.at_first_look), rows, *lifted, folds, rule, selected, pool, fit.path, cost);
  }
  const Progress progress("linear model on all rows");
  const Matrix<float> zero_gate(1, rows.dimension());
  GatedOperator<float> f(rows.design(), zero_gate.view(), pool);
  LinearSolver solver(f, rows.targets(), lifted ? *lifted : fit.moments, !rows.pairwise());
  solver.start_from(mean_of_folds(fit.selected.weights));
  fit.info = solver.solve(fit.selected.candidate.penalty, 1e-6, deadline);
  fit.weights = solver.weights();
  return fit;
}

}  // namespace coala
