import ts from 'typescript';

/** One change of a module that a test should find. */
export interface Mutant {
  /** Path from the root of the checkout. */
  file: string;
  /** First character that is replaced, and the first one that is not. */
  start: number;
  end: number;
  replacement: string;
  kind: 'condition' | 'operator' | 'call';
}

/** What an operator is replaced with. */
const swaps: Readonly<Partial<Record<ts.SyntaxKind, string>>> = {
  [ts.SyntaxKind.EqualsEqualsEqualsToken]: '!==',
  [ts.SyntaxKind.ExclamationEqualsEqualsToken]: '===',
  [ts.SyntaxKind.LessThanToken]: '<=',
  [ts.SyntaxKind.LessThanEqualsToken]: '<',
  [ts.SyntaxKind.GreaterThanToken]: '>=',
  [ts.SyntaxKind.GreaterThanEqualsToken]: '>',
  [ts.SyntaxKind.PlusToken]: '-',
  [ts.SyntaxKind.MinusToken]: '+',
  [ts.SyntaxKind.AsteriskToken]: '/',
  [ts.SyntaxKind.AmpersandAmpersandToken]: '||',
  [ts.SyntaxKind.BarBarToken]: '&&',
  [ts.SyntaxKind.PlusEqualsToken]: '-=',
  [ts.SyntaxKind.MinusEqualsToken]: '+=',
};

/** All mutants of a module: conditions turned, operators swapped, calls dropped. */
export function findMutants(file: string, text: string): Mutant[] {
  const source = ts.createSourceFile(file, text, ts.ScriptTarget.Latest, true);
  const mutants: Mutant[] = [];
  const replace = (node: ts.Node, replacement: string, kind: Mutant['kind']): void => {
    mutants.push({ file, start: node.getStart(source), end: node.getEnd(), replacement, kind });
  };
  const visit = (node: ts.Node): void => {
    const condition = conditionOf(node);
    if (condition) replace(condition, `!(${condition.getText(source)})`, 'condition');
    if (ts.isBinaryExpression(node)) {
      const swapped = swaps[node.operatorToken.kind];
      // A text that is joined with another one has no other operator.
      if (swapped && !isJoined(node)) replace(node.operatorToken, swapped, 'operator');
    }
    if (ts.isExpressionStatement(node) && isCall(node.expression)) replace(node, ';', 'call');
    ts.forEachChild(node, visit);
  };
  visit(source);
  return mutants;
}

function conditionOf(node: ts.Node): ts.Expression | undefined {
  if (ts.isIfStatement(node) || ts.isWhileStatement(node)) return node.expression;
  return ts.isConditionalExpression(node) || ts.isForStatement(node) ? node.condition : undefined;
}

function isCall(expression: ts.Expression): boolean {
  const inner = ts.isAwaitExpression(expression) ? expression.expression : expression;
  if (!ts.isCallExpression(inner)) return false;
  // Without `super()` a class cannot be made: every test of it fails.
  return inner.expression.kind !== ts.SyntaxKind.SuperKeyword;
}

function isJoined({ left, right, operatorToken }: ts.BinaryExpression): boolean {
  return (
    operatorToken.kind === ts.SyntaxKind.PlusToken &&
    [left, right].some((side) => ts.isStringLiteralLike(side) || ts.isTemplateExpression(side))
  );
}

/** A module's text with a mutant in it. */
export function mutate(text: string, { start, end, replacement }: Mutant): string {
  return text.slice(0, start) + replacement + text.slice(end);
}
